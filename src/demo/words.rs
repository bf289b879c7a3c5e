//! Events and hashes in words: what a person wants to know of each, and what it means to a shop.

use amn_core::money::Amount;
use serde_json::Value;

use super::ground::CONFIRMATIONS;
use super::timeline::Mood;

/// The order's name; or the end of the intent's id, where somebody made one by hand.
pub fn name(intent: &Value) -> String {
    let id = text(&intent["id"]);
    let end = id.get(id.len().saturating_sub(6)..).unwrap_or_default();
    intent["metadata"]["order"].as_str().unwrap_or(end).to_owned()
}

/// Received, or settled, of what is due: what a reader wants to know of this event.
pub fn sums(body: &Value) -> String {
    let (intent, asset) = (&body["intent"], &body["intent"]["asset"]);
    if !intent.is_object() {
        return String::new();
    }
    let decimals = asset["decimals"].as_u64().and_then(|d| u8::try_from(d).ok()).unwrap_or(0);
    let shown = |field: &str| {
        let amount: Amount = text(&intent[field]).parse().unwrap_or_default();
        amount.in_units_of(decimals)
    };
    let came = match text(&body["event"]).as_str() {
        "payment.partial" | "payment.confirmed" | "payment.overpaid" => shown("settled"),
        "payment.late" => return format!("{} {} late", shown("late"), text(&asset["symbol"])),
        _ => shown("received"),
    };
    format!("{came} of {} {}", shown("due"), text(&asset["symbol"]))
}

/// What an event means to a shop, in half a sentence.
pub fn meaning(body: &Value) -> (Mood, String) {
    let newest = body["deposits"].as_array().and_then(|all| all.last()).cloned().unwrap_or_default();
    let evidence = &newest["evidence"];
    let (mood, why) = match text(&body["event"]).as_str() {
        "payment.detected" => {
            if let Some(asked) = body["policy"]["attestations"].as_u64() {
                let count = evidence["attestations"].as_u64().unwrap_or(0);
                return (Mood::Waits, format!("final; {count} of {asked} organisations built on it"));
            }
            let count = newest["confirmations"].as_u64().unwrap_or(0);
            let asked = body["policy"]["confirmations"].as_u64().unwrap_or(CONFIRMATIONS);
            return (Mood::Waits, format!("seen, not believed yet: {count} of {asked} blocks"));
        }
        "payment.confirmed" => {
            let (inclusion, operators) = (text(&evidence["inclusion"]), &evidence["operators"]);
            let backed = match evidence["attestations"].as_u64() {
                Some(count) if count > 0 => format!("{operators} operators, {count} attestations"),
                _ => format!("{operators} operators agree"),
            };
            return (Mood::Good, format!("{inclusion}, {backed}: ship it"));
        }
        "payment.partial" => (Mood::Waits, "settled, and not enough: wait"),
        "payment.overpaid" => (Mood::Note, "more than was due: give it back"),
        "payment.expired" => (Mood::Bad, "nothing came in time, by chain time"),
        "payment.late" if body["reason"] == "settled" => (Mood::Waits, "settled, and set aside: a person decides"),
        "payment.late" => (Mood::Waits, "seen after the deadline: not counted"),
        "payment.retracted" => (Mood::Bad, "left the chain: taken back before it shipped"),
        "payment.reversed" => (Mood::Bad, "settled money left the chain"),
        "deposit.unmatched" if body["reason"] == "missing_reference" => {
            (Mood::Note, "money without its memo: a person decides")
        }
        "deposit.unmatched" => (Mood::Note, "money that belongs to no order"),
        _ => (Mood::Note, ""),
    };
    (mood, why.to_owned())
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The beginning of a hash or an address: enough to recognise it.
pub fn short(hex: &str) -> String {
    hex.get(..10).map_or_else(|| hex.to_owned(), |head| format!("{head}.."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str) -> Value {
        let asset = json!({"decimals": 6, "symbol": "USDC"});
        let sums = json!({
            "id": "pi_0123456789ABCDEFGHJKMNPQRS", "asset": asset, "due": "40000000", "received": "40000000",
            "settled": "15000000", "late": "1500000", "metadata": {},
        });
        json!({"event": kind, "intent": sums, "deposits": []})
    }

    #[test]
    fn what_settled_is_never_confused_with_what_was_received() {
        assert_eq!(sums(&event("payment.detected")), "40 of 40 USDC");
        assert_eq!(sums(&event("payment.partial")), "15 of 40 USDC");
        assert_eq!(sums(&event("payment.late")), "1.5 USDC late");
        assert_eq!(sums(&json!({"event": "network.halted", "intent": null})), "");
    }

    #[test]
    fn who_stands_behind_a_payment_is_said_in_the_words_of_its_chain() {
        let with = |kind: &str, evidence: Value, policy: Value| {
            let mut body = event(kind);
            body["deposits"] = json!([{"confirmations": 1, "evidence": evidence}]);
            body["policy"] = policy;
            meaning(&body).1
        };
        let evm = json!({"inclusion": "proven", "operators": 2, "attestations": null});
        let (blocks, none) = (json!({"attestations": null}), Value::Null);
        assert_eq!(with("payment.detected", evm.clone(), blocks), "seen, not believed yet: 1 of 3 blocks");
        assert_eq!(with("payment.confirmed", evm, none.clone()), "proven, 2 operators agree: ship it");
        let stellar = json!({"inclusion": "proven", "operators": 2, "attestations": 1});
        let asked = json!({"attestations": 2});
        assert_eq!(with("payment.detected", stellar.clone(), asked), "final; 1 of 2 organisations built on it");
        assert_eq!(with("payment.confirmed", stellar, none), "proven, 2 operators, 1 attestations: ship it");
    }

    #[test]
    fn an_order_made_by_hand_is_named_by_the_end_of_its_id() {
        assert_eq!(name(&event("payment.detected")["intent"]), "MNPQRS");
        assert_eq!(name(&json!({"metadata": {"order": "A-1001"}})), "A-1001");
        assert_eq!(name(&Value::Null), "");
    }
}
