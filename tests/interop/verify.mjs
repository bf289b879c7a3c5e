// Verifies one captured delivery with the libraries a receiver would use, and sees that they refuse a forged one.
// usage: node verify.mjs '{"body":"…","headers":{…},"secrets":["whsec_…",…]}'
import Stripe from 'stripe';
import { Webhook } from 'standardwebhooks';

const { body, headers, secrets } = JSON.parse(process.argv[2]);
const stripe = new Stripe('sk_test_of_nobody');
const verifiers = [
  (secret, body, headers) => stripe.webhooks.constructEvent(body, headers['x-signature'], secret),
  (secret, body, headers) => new Webhook(secret).verify(body, headers),
];

let verified = 0;
let refused = 0;
function refuses(verify) {
  try {
    verify();
  } catch {
    refused += 1;
    return;
  }
  throw new Error('a forged delivery was believed');
}

const stranger = 'whsec_' + Buffer.alloc(32, 7).toString('base64');
for (const verify of verifiers) {
  for (const secret of secrets) {
    const event = verify(secret, body, headers);
    if (event.id !== headers['webhook-id']) throw new Error(`the body is not the event's: ${event.id}`);
    verified += 1;
    refuses(() => verify(secret, body.replace('"1"', '"2"'), headers));
  }
  refuses(() => verify(stranger, body, headers));
}
console.log(`verified ${verified}, refused ${refused}`);
