//! The end: what the orders came to, what the backend was told, and whether it went as the story says.

use std::collections::{BTreeMap, BTreeSet};

use amn_core::money::Amount;
use serde_json::Value;

use super::house::{House, No};
use super::table::{self, figures, words};
use super::words::text;
use crate::stage::StageError;
use crate::stage::receiver::Heard;

/// Shows both tables, and adds to the house's differences what does not agree with the story.
pub async fn judge(house: &mut House) -> Result<(), StageError> {
    house.show_heard();
    intents(house).await?;
    let feed = feed(house).await?;
    events(house, &feed);
    Ok(())
}

async fn intents(house: &mut House) -> Result<(), StageError> {
    let mut rows = Vec::new();
    for at in 0..house.orders.len() {
        let (told, order) = (house.told(No(at)), house.order(No(at)));
        let now = house.shop.get(&format!("/v1/intents/{}", order.id)).await?;
        let units = |field: &str| text(&now[field]).parse::<Amount>().unwrap_or_default().units();
        let (status, settled) = (text(&now["status"]), units("settled"));
        let mut wrong = Vec::new();
        if told != order.expected {
            wrong.push(format!("{}: told {told:?}, the story says {:?}", order.name, order.expected));
        }
        if (status.as_str(), settled) != order.ends {
            let (said, sum) = order.ends;
            wrong.push(format!(
                "{}: ends {status} with {settled} settled, the story says {said} with {sum}",
                order.name
            ));
        }
        let events: Vec<&str> = told.iter().map(|event| event.trim_start_matches("payment.")).collect();
        let events = if events.is_empty() { "(none, rightly)".to_owned() } else { events.join(", ") };
        rows.push(vec![
            order.name.to_owned(),
            order.story.to_owned(),
            order.coin.named(order.due),
            order.coin.shown(units("received")),
            order.coin.shown(settled),
            status,
            events,
        ]);
        house.differences.extend(wrong);
    }
    let columns = [
        words("order"),
        words("paid"),
        figures("due"),
        figures("received"),
        figures("settled"),
        words("status"),
        words("payment events told"),
    ];
    show(house, "What the orders came to", &columns, &rows);
    Ok(())
}

/// Every numbered event of the shop, as anybody could pull it: the other half of "nothing is lost".
async fn feed(house: &House) -> Result<Vec<Value>, StageError> {
    let (mut all, mut after) = (Vec::new(), "0".to_owned());
    loop {
        let page = house.shop.get(&format!("/v1/events?limit=200&after={after}")).await?;
        all.extend(page["data"].as_array().cloned().unwrap_or_default());
        after = text(&page["next_cursor"]);
        if page["has_more"] != true {
            return Ok(all);
        }
    }
}

/// What became of the deliveries of one kind of event.
#[derive(Default)]
struct Count {
    told: usize,
    verified: usize,
    tries: usize,
    twice: usize,
}

fn events(house: &mut House, feed: &[Value]) {
    let heard = house.receiver.heard();
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for one in &heard {
        let count = counts.entry(one.event.clone()).or_default();
        count.tries += 1;
        count.verified += usize::from(one.signed);
        if one.status == 200 {
            let first = taken.insert(one.id.clone());
            count.told += usize::from(first);
            count.twice += usize::from(!first);
        }
    }
    let row = |name: &str, c: &Count| {
        let figures = [c.told, c.tries, c.verified, c.twice].map(|n| n.to_string());
        [vec![name.to_owned()], figures.to_vec()].concat()
    };
    let mut rows: Vec<Vec<String>> = counts.iter().map(|(event, count)| row(event, count)).collect();
    let sum = |of: fn(&Count) -> usize| counts.values().map(of).sum();
    let all = Count {
        told: sum(|c| c.told),
        verified: sum(|c| c.verified),
        tries: sum(|c| c.tries),
        twice: sum(|c| c.twice),
    };
    rows.push(row("all", &all));
    let columns = [
        words("event"),
        figures("received"),
        figures("attempts"),
        figures("signatures verified"),
        figures("duplicates"),
    ];
    show(house, "What the backend heard", &columns, &rows);

    let mut wrong = differences(&heard, feed, &taken);
    if all.verified != all.tries {
        wrong.push(format!("{} of {} signatures did not hold", all.tries - all.verified, all.tries));
    }
    if all.twice > 0 {
        wrong.push(format!("{} events were delivered twice", all.twice));
    }
    house.differences.extend(wrong);
}

/// What must hold of any run: one id one body, sequences without gaps, and the feed says what was sent.
fn differences(heard: &[Heard], feed: &[Value], taken: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut bodies: BTreeMap<&str, &[u8]> = BTreeMap::new();
    let mut sequences: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for one in heard {
        if *bodies.entry(&one.id).or_insert(&one.body) != one.body.as_slice() {
            wrong.push(format!("two different bodies carried the webhook-id {}", one.id));
        }
        let body = one.json();
        if let Some(sequence) = body["sequence"].as_u64() {
            sequences.entry(text(&body["intent"]["id"])).or_default().insert(sequence);
        }
    }
    for (intent, seen) in &sequences {
        if !seen.iter().copied().eq(1..=seen.len() as u64) {
            wrong.push(format!("the sequences of {intent} have a gap: {seen:?}"));
        }
    }
    let fed: BTreeSet<String> = feed.iter().map(|event| text(&event["id"])).collect();
    if fed != *taken {
        let (lost, unknown) = (fed.difference(taken).count(), taken.difference(&fed).count());
        wrong.push(format!("of the feed's events {lost} did not arrive, and {unknown} arrived that it does not have"));
    }
    wrong
}

fn show(house: &mut House, title: &str, columns: &[table::Column], rows: &[Vec<String>]) {
    let ink = house.timeline.ink;
    house.timeline.print(&format!("\n{}", ink.bold(title)));
    for line in table::lines(ink, columns, rows) {
        house.timeline.print(&line);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::json;

    use super::*;

    fn heard(id: &str, intent: &str, sequence: u64, more: &str) -> Heard {
        let body = json!({"id": id, "intent": {"id": intent}, "sequence": sequence, "more": more}).to_string();
        let (event, body) = ("payment.detected".to_owned(), body.into_bytes());
        Heard { at: Instant::now(), id: id.to_owned(), event, body, signed: true, status: 200 }
    }

    fn judged(heard: &[Heard], feed: &[&str]) -> Vec<String> {
        let feed: Vec<Value> = feed.iter().map(|id| json!({ "id": id })).collect();
        differences(heard, &feed, &heard.iter().map(|h| h.id.clone()).collect())
    }

    #[test]
    fn a_run_without_a_flaw_has_no_differences() {
        let run = [heard("e1", "a", 1, ""), heard("e1", "a", 1, ""), heard("e2", "a", 2, ""), heard("e3", "b", 1, "")];
        assert_eq!(judged(&run, &["e1", "e2", "e3"]), Vec::<String>::new());
    }

    #[test]
    fn two_bodies_under_one_id_a_gap_and_a_lost_event_are_each_named() {
        let two = judged(&[heard("e1", "a", 1, "x"), heard("e1", "a", 1, "y")], &["e1"]);
        assert!(two[0].contains("two different bodies"), "{two:?}");
        let gap = judged(&[heard("e1", "a", 1, ""), heard("e3", "a", 3, "")], &["e1", "e3"]);
        assert!(gap[0].contains("a gap"), "{gap:?}");
        let lost = judged(&[heard("e1", "a", 1, "")], &["e1", "e2"]);
        assert!(lost[0].contains("1 did not arrive"), "{lost:?}");
        let invented = judged(&[heard("e1", "a", 1, ""), heard("e2", "b", 1, "")], &["e1"]);
        assert!(invented[0].contains("1 arrived"), "{invented:?}");
    }
}
