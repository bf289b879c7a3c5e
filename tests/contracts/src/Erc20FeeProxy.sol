// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

/// A payment proxy for tokens: moves an amount to the receiver and a fee to another, and says so with the reference.
/// As the public ones, it asks nobody which token it moves: the event alone proves nothing.
contract Erc20FeeProxy {
    event TransferWithReferenceAndFee(
        address tokenAddress,
        address to,
        uint256 amount,
        bytes indexed paymentReference,
        uint256 feeAmount,
        address feeAddress
    );

    function transferFromWithReferenceAndFee(
        address token,
        address to,
        uint256 amount,
        bytes calldata ref,
        uint256 fee,
        address feeAddr
    ) external {
        _take(token, to, amount);
        if (fee > 0 && feeAddr != address(0)) {
            _take(token, feeAddr, fee);
        }
        emit TransferWithReferenceAndFee(token, to, amount, ref, fee, feeAddr);
    }

    function _take(address token, address to, uint256 amount) private {
        bytes memory call = abi.encodeWithSignature("transferFrom(address,address,uint256)", msg.sender, to, amount);
        (bool done, bytes memory answer) = token.call(call);
        require(done && (answer.length == 0 || abi.decode(answer, (bool))), "not moved");
    }
}
