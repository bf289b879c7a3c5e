// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

/// Pays by dying: native money that arrives without a call, a log or a value.
contract SelfDestructPay {
    constructor() payable {}

    function pay(address payable to) external payable {
        selfdestruct(to);
    }
}
