//! TON: what it takes to catch up after an outage, in requests and at an allowance of them, by account and by block; and
//! how fast one core reads what nodes hand over.

mod outage;
mod reading;

use crate::Size;

pub async fn run(size: Size) {
    reading::run(size);
    outage::run(size).await;
}
