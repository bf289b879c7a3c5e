// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

/// Many token transfers in one transaction, out of the caller's allowance.
contract Batch {
    function batch(address token, address[] calldata to, uint256[] calldata amount) external {
        require(to.length == amount.length, "as many amounts as receivers");
        for (uint256 i = 0; i < to.length; i++) {
            bytes memory call =
                abi.encodeWithSignature("transferFrom(address,address,uint256)", msg.sender, to[i], amount[i]);
            (bool done, bytes memory answer) = token.call(call);
            require(done && (answer.length == 0 || abi.decode(answer, (bool))), "not moved");
        }
    }
}
