//! The node of the testkit says what toncenter and tonapi say, in their shapes and types; and each of its faults does
//! what its name says.

mod faults;
mod history;
mod http;
mod invented;
mod shapes;
mod streaming;

use amn_core::block::BlockRef;
use amn_ton::testkit::{History, Letter, Life, Made, Minter, Node, Outcome, text};

use crate::support::*;

/// A network on which the shop was paid once in each of the last blocks, and who knows its one jetton.
pub struct Scene {
    pub node: Node,
    pub shop: Life,
    pub paid: Vec<Made>,
    /// The blocks that hold them.
    pub blocks: Vec<BlockRef>,
}

impl Scene {
    pub async fn paid(times: u32) -> Self {
        let network = mainnet();
        let mut history = History::new(network.global_id);
        history.minters.extend(network.registry.jettons.values().map(|jetton| Minter::of(jetton, 6)));
        let (mut shop, mut paid, mut blocks) = (Life::of(SHOP), Vec::new(), Vec::new());
        for time in 0..times {
            let letter = Letter::from(PAYER, 1_000_000_000).saying(text(&format!("order {time}")));
            paid.push(history.receive(&mut shop, &letter, Outcome::Accepted));
            blocks.push(history.close());
        }
        Self { node: Node::serve(history).await.unwrap(), shop, paid, blocks }
    }

    /// The height of the newest block.
    pub fn tip(&self) -> u64 {
        self.node.history().head().height.0
    }
}
