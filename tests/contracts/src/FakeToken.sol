// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

/// Says what a token says, and holds nothing: its logs have the shape of money and its address is on no list.
contract FakeToken {
    string public name = "USD Coin";
    string public symbol = "USDC";
    uint8 public constant decimals = 6;

    event Transfer(address indexed from, address indexed to, uint256 value);

    /// A transfer out of thin air, from whomever the caller likes to name.
    function forge(address from, address to, uint256 value) public {
        emit Transfer(from, to, value);
    }

    function transfer(address to, uint256 value) external returns (bool) {
        forge(msg.sender, to, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        forge(from, to, value);
        return true;
    }

    function balanceOf(address) external pure returns (uint256) {
        return type(uint256).max;
    }

    /// The topic of a transfer with too few topics: all three values in the data.
    function forgeUnindexed(address from, address to, uint256 value) external {
        bytes32 topic = keccak256("Transfer(address,address,uint256)");
        bytes memory data = abi.encode(from, to, value);
        assembly {
            log1(add(data, 32), mload(data), topic)
        }
    }

    /// Three topics, and more data than a transfer has.
    function forgeLong(address from, address to, uint256 value) external {
        bytes32 topic = keccak256("Transfer(address,address,uint256)");
        bytes memory data = abi.encode(value, value);
        assembly {
            log3(add(data, 32), mload(data), topic, from, to)
        }
    }

    /// Three topics, of which the receiver's has bits above its 20 bytes.
    function forgeDirtyTopic(address from, address to, uint256 value) external {
        bytes32 topic = keccak256("Transfer(address,address,uint256)");
        uint256 dirty = uint256(uint160(to)) | (1 << 200);
        bytes memory data = abi.encode(value);
        assembly {
            log3(add(data, 32), mload(data), topic, from, dirty)
        }
    }
}
