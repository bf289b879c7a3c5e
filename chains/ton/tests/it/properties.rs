//! What holds of every address, comment and amount.

use amn_ton::address::{self, Account, Realm};
use amn_ton::reference::{self, Parsed, TEXT_MAX};
use amn_ton::testkit::{Letter, Life, Outcome, Payload, binary, comment, internal_transfer};
use proptest::prelude::*;

use crate::support::*;

fn any_account() -> impl Strategy<Value = Account> {
    (any::<bool>(), any::<[u8; 32]>()).prop_map(|(masterchain, id)| Account::new(if masterchain { -1 } else { 0 }, id))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_spelled_address_reads_back(account in any_account(), testnet in any::<bool>()) {
        let realm = if testnet { Realm::Testnet } else { Realm::Mainnet };
        for form in [account.spell(realm).to_string(), account.bounceable(realm), account.to_string()] {
            prop_assert_eq!(address::parse(&form, realm), Ok(account));
            prop_assert_eq!(address::parse(&form, Realm::Mainnet).is_ok(), !testnet || form.contains(':'));
        }
        prop_assert_eq!(address::raw(&account.spell(realm)), Some(account.raw()));
        prop_assert_eq!(Account::of_raw(&account.raw()), Some(account));
    }

    #[test]
    fn a_mistyped_letter_is_never_another_address(account in any_account(), at in 0_usize..48, with in "[A-Za-z0-9_-]") {
        let mut form = account.bounceable(Realm::Mainnet);
        form.replace_range(at..=at, &with);
        if let Ok(read) = address::parse(&form, Realm::Mainnet) {
            prop_assert_eq!(read, account);
        }
    }

    #[test]
    fn every_reference_has_one_spelling_that_reads_back(bytes in proptest::collection::vec(any::<u8>(), 1..80)) {
        for body in [comment(&bytes), binary(&bytes)] {
            let made = Life::of(SHOP).receive(&Letter::from(PAYER, 1_000_000_000).saying(body), Outcome::Accepted);
            let block = shop_reads(&mainnet().registry, &[(SHOP, &made)]);
            let Some(said) = &block.transfers[0].reference else { continue };
            let parsed = reference::parse(said.as_str()).unwrap();
            prop_assert_eq!(&parsed.spell(), said);
            prop_assert!(!said.as_str().chars().any(char::is_control), "{:?}", said);
        }
    }

    #[test]
    fn what_a_merchant_asks_for_is_what_a_comment_of_it_says(asked in "\\PC{1,60}") {
        let Ok(parsed) = reference::parse(&format!("text:{asked}")) else {
            prop_assert!(asked.trim().is_empty() || asked.len() > TEXT_MAX / 3);
            return Ok(());
        };
        let made = Life::of(SHOP)
            .receive(&Letter::from(PAYER, 1_000_000_000).saying(comment(format!(" {asked}\n").as_bytes())), Outcome::NoGas);
        let block = shop_reads(&mainnet().registry, &[(SHOP, &made)]);
        let said = block.transfers[0].reference.clone();
        // A comment that begins with the mark of a binary one cannot be typed: 0xff begins no character.
        prop_assert_eq!(said, Some(parsed.spell()));
    }

    #[test]
    fn a_number_reads_back(query in 1_u64.., amount in 10_000_u128..(1 << 120)) {
        let registry = mainnet().registry;
        let account = wallet(&registry, SHOP);
        let body = internal_transfer(query, amount, Some(&PAYER), 1, &Payload::None);
        let made = Life::of(account).receive(&Letter::from(STRANGER, 1).saying(body), Outcome::Accepted);
        let block = shop_reads(&registry, &[(account, &made)]);
        let transfer = &block.transfers[0];
        prop_assert_eq!(transfer.amount.units(), amount);
        prop_assert_eq!(reference::parse(transfer.reference.as_ref().unwrap().as_str()), Ok(Parsed::Query(query)));
    }
}
