// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

/// A payment proxy for native money: pays the receiver by an internal call, a fee to another, and gives back the rest.
contract EthFeeProxy {
    event TransferWithReferenceAndFee(
        address to,
        uint256 amount,
        bytes indexed paymentReference,
        uint256 feeAmount,
        address feeAddress
    );

    function transferWithReferenceAndFee(
        address payable to,
        bytes calldata ref,
        uint256 fee,
        address payable feeAddr
    ) external payable {
        transferExactWithReferenceAndFee(to, msg.value - fee, ref, fee, feeAddr);
    }

    function transferExactWithReferenceAndFee(
        address payable to,
        uint256 amount,
        bytes calldata ref,
        uint256 fee,
        address payable feeAddr
    ) public payable {
        _pay(to, amount);
        if (fee > 0 && feeAddr != address(0)) {
            _pay(feeAddr, fee);
        }
        uint256 rest = address(this).balance;
        if (rest > 0) {
            _pay(payable(msg.sender), rest);
        }
        emit TransferWithReferenceAndFee(to, amount, ref, fee, feeAddr);
    }

    function _pay(address payable to, uint256 amount) private {
        (bool done, ) = to.call{value: amount}("");
        require(done, "refused");
    }
}
