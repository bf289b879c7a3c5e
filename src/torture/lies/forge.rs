//! Blocks that never were, with hashes that are truly theirs.

use amn_evm::header;
use amn_evm::wire::WireHeader;
use serde_json::{Value, json};

/// Gives a changed block the hash that follows from its fields; one that is no block stays as it is.
pub(super) fn sealed(mut block: Value) -> Value {
    if let Ok(wire) = serde_json::from_value::<WireHeader>(block.clone()) {
        block["hash"] = json!(header::hash(&wire));
    }
    block
}

/// Another block of the same place and content: as a miner of a branch of his own would have made it.
pub(super) fn rival(mut block: Value) -> Value {
    if block.is_object() {
        block["extraData"] = json!("0x6c6965");
    }
    sealed(block)
}

#[cfg(test)]
mod tests {
    use amn_evm::testkit::History;

    use super::*;

    #[test]
    fn a_rival_hashes_to_its_own_name_and_stands_where_the_true_block_stands() {
        let history = History::new(1);
        let block: Value = serde_json::from_str(&history.blocks[&0].named).unwrap();
        let forged = rival(block.clone());
        assert_ne!(forged["hash"], block["hash"]);
        assert_eq!((&forged["number"], &forged["parentHash"]), (&block["number"], &block["parentHash"]));
        let text = forged.to_string();
        assert!(header::check(text.as_bytes(), true).unwrap().recomputed);
        assert_eq!(sealed(json!(null)), json!(null));
    }
}
