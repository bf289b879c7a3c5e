//! Who listens to which contract: wrong values by the table, and a right one.

use super::*;

const CONTRACT: &str = "CAS3J7GYLGXMF6TDJBBYYSE3HQ6BBSMLNUQ34T6TZMYMW2EVH34XOWMA";

/// Lines of a [[watch.contract]], and what is said of it.
const WRONG_IN_WATCH: &[(&str, &str)] = &[
    ("contract = \"C\"\ntenant = \"a\"", "watch.contract[0].network: must be given; found nothing"),
    ("network = \"n\"\ntenant = \"a\"", "watch.contract[0].contract: must be given; found nothing"),
    ("network = \"n\"\ncontract = \"C\"", "watch.contract[0].tenant: must be given; found nothing"),
    (
        "network = \"n\"\ncontract = \"C\"\ntenant = \"a b\"",
        r#"tenant: must be 1 to 64 letters, digits, dots, hyphens and underscores; found "a b""#,
    ),
    ("network = \"N\"\ncontract = \"C\"\ntenant = \"a\"", r#"network: must be a network of this file; found "N""#),
    (
        "network = \"n\"\ncontract = \"C\"\ntenant = \"a\"\ntopics = [\"symbol:a\"]",
        "topics: must be a list of lists, each of them of texts, each a segment of 1 to 560 bytes; found \"symbol:a\"",
    ),
    ("network = \"n\"\ncontract = \"C\"\ntenant = \"a\"\ntopics = [[7]]", "found 7"),
    (
        "network = \"n\"\ncontract = \"C\"\ntenant = \"a\"\ntopics = []",
        "topics: must be 1 to 50 patterns, each a list of segments; found 0",
    ),
    (
        "network = \"n\"\ncontract = \"C\"\ntenant = \"a\"\nsince = 0",
        "since: must be a whole number from 1 to 4294967295; found 0",
    ),
    (
        "network = \"n\"\ncontract = \"C\"\ntenant = \"a\"\ntopic = [[]]",
        "topic: is not a known key; did you mean topics?",
    ),
];

#[test]
fn every_wrong_value_of_a_listener_is_named() {
    for (lines, expected) in WRONG_IN_WATCH {
        let said = problems(&format!("[[watch.contract]]\n{lines}"), &[]);
        assert!(said.contains(expected), "{lines}\nsaid: {said}\nexpected: {expected}");
    }
    let long = format!(
        "[[watch.contract]]\nnetwork = \"n\"\ncontract = \"C\"\ntenant = \"a\"\ntopics = [[{}]]",
        "\"*\",".repeat(17)
    );
    assert!(
        problems(&long, &[])
            .contains("amn.toml:5:10: watch.contract[0].topics: must be patterns of at most 16 segments; found 17")
    );
}

#[test]
fn a_listener_is_read_as_it_is_written() {
    let text = format!(
        "[[watch.contract]]\nnetwork = \"stellar-pubnet\"\ncontract = \"{CONTRACT}\"\ntenant = \"seller-7\"\n\
         topics = [[\"symbol:escrow_funded\", \"*\", \"**\"], []]\nsince = 63092990\n\
         [[watch.contract]]\nnetwork = \"stellar-pubnet\"\ncontract = \"{CONTRACT}\"\ntenant = \"seller-8\"\n"
    );
    let contracts = read(&text, &[]).unwrap().contracts;
    assert_eq!(contracts.len(), 2);
    let texts = vec![vec!["symbol:escrow_funded".to_owned(), "*".to_owned(), "**".to_owned()], Vec::new()];
    assert_eq!((contracts[0].topics.as_ref(), contracts[0].since), (Some(&texts), Some(Height(63_092_990))));
    assert_eq!((contracts[1].topics.as_ref(), contracts[1].since), (None, None), "all it says, from now on");
    assert_eq!(contracts[1].place, "amn.toml:7:1");
}
