// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

/// Passes native money on by an internal call: the transaction's own value never names the one who is paid.
contract Forwarder {
    function forward(address payable to) external payable {
        (bool done, ) = to.call{value: msg.value}("");
        require(done, "refused");
    }

    /// Pays inside a call that is undone, so that a trace shows money which never moved.
    function forwardAndRevert(address payable to) external payable {
        try this.forwardThenFail{value: msg.value}(to) {} catch {}
    }

    function forwardThenFail(address payable to) external payable {
        (bool done, ) = to.call{value: msg.value}("");
        require(done, "refused");
        revert("undone");
    }
}
