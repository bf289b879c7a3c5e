use proptest::prelude::*;

use super::*;

/// Addresses that no receiver of ours lives at; each has let somebody in somewhere.
const INSIDE: &[&str] = &[
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:8.8.8.8",
    "::ffff:0:7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "100::1",
    "100:0:0:1::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
];

const OUTSIDE: &[&str] = &[
    "1.1.1.1",
    "8.8.8.8",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "126.255.255.255",
    "128.0.0.1",
    "168.63.129.15",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "192.169.0.1",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "2001:200::1",
    "2003::1",
    "2606:4700:4700::1111",
    "2a00:1450:4001:81b::200e",
    "3ffe::1",
];

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn no_address_inside_passes_and_every_public_one_does() {
    let policy = GuardPolicy::default();
    for inside in INSIDE {
        assert_eq!(vet_address(address(inside), &policy), Err(Refused::Private(address(inside))), "{inside}");
    }
    for outside in OUTSIDE {
        assert_eq!(vet_address(address(outside), &policy), Ok(()), "{outside}");
    }
}

#[test]
fn an_address_in_a_url_is_vetted_however_it_is_written() {
    let policy = GuardPolicy::default();
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0x7f.1",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[0:0:0:0:0:ffff:7f00:1]",
        "１２７.0.0.1",
        "169.254.169.254",
        "0",
        "[::]",
    ] {
        let refused = vet_url(&format!("https://{host}/hook"), &policy);
        assert!(matches!(refused, Err(Refused::Private(_))), "{host}: {refused:?}");
    }
}

#[test]
fn only_https_on_an_allowed_port_without_a_password_passes() {
    let policy = GuardPolicy::default();
    let vetted = |text: &str| vet_url(text, &policy).map(|url| url.to_string());
    assert_eq!(vetted("https://hooks.example.com/a?b=c"), Ok("https://hooks.example.com/a?b=c".to_owned()));
    assert_eq!(vetted("HTTPS://HOOKS.example.com:443"), Ok("https://hooks.example.com/".to_owned()));
    let wrong = [
        ("http://hooks.example.com", Refused::NotHttps),
        ("ftp://hooks.example.com", Refused::NotHttps),
        ("file:///etc/passwd", Refused::NotHttps),
        ("gopher://hooks.example.com", Refused::NotHttps),
        ("hooks.example.com", Refused::NotAUrl),
        ("", Refused::NotAUrl),
        ("https://", Refused::NotAUrl),
        ("https://user@hooks.example.com", Refused::UserInfo),
        ("https://:pass@hooks.example.com", Refused::UserInfo),
        ("https://hooks.example.com:22", Refused::Port(22)),
        ("https://hooks.example.com:8443", Refused::Port(8443)),
    ];
    for (text, refused) in wrong {
        assert_eq!(vetted(text), Err(refused), "{text}");
    }
    let long = format!("https://hooks.example.com/{}", "a".repeat(URL_BYTES_MAX));
    assert_eq!(vetted(&long), Err(Refused::TooLong));
}

#[test]
fn the_operator_may_open_a_private_network_and_only_that() {
    let allow = vec![Range { base: address("10.1.0.0"), prefix: 16 }, Range { base: address("fd00::"), prefix: 8 }];
    let policy = GuardPolicy { allow, ports: vec![443, 8443], ..GuardPolicy::default() };
    for (host, passes) in [
        ("10.1.2.3", true),
        ("[fd12::1]", true),
        ("10.2.0.1", false),
        ("127.0.0.1", false),
        ("[::ffff:10.1.2.3]", false),
        ("[fc00::1]", false),
    ] {
        assert_eq!(vet_url(&format!("https://{host}:8443/"), &policy).is_ok(), passes, "{host}");
    }
    let everything =
        GuardPolicy { allow: vec![Range { base: address("0.0.0.0"), prefix: 0 }], ..GuardPolicy::default() };
    assert_eq!(vet_address(address("10.0.0.1"), &everything), Ok(()));
}

#[test]
fn development_opens_this_machine_and_nothing_else() {
    let policy = GuardPolicy::development();
    assert!(vet_url("http://127.0.0.1:9999/hook", &policy).is_ok());
    assert!(vet_url("http://[::1]:9999/hook", &policy).is_ok());
    for inside in
        ["http://10.0.0.1", "http://169.254.169.254/latest/meta-data", "http://0.0.0.0", "http://[::ffff:7f00:1]"]
    {
        assert!(vet_url(inside, &policy).is_err(), "{inside}");
    }
}

struct Told(Option<Vec<IpAddr>>);

impl Names for Told {
    fn lookup(&self, _: String) -> Lookup {
        let told = self.0.clone();
        Box::pin(async move {
            match told {
                Some(addresses) => Ok(addresses),
                None => std::future::pending().await,
            }
        })
    }
}

async fn vet_name(told: Option<&[&str]>) -> Result<Vec<IpAddr>, Refused> {
    let told = told.map(|addresses| addresses.iter().map(|text| address(text)).collect());
    let guard = Guard::with_names(GuardPolicy::default(), Arc::new(Told(told)));
    guard.vet("https://hooks.example.com/").await.map(|vetted| vetted.addresses)
}

#[tokio::test(start_paused = true)]
async fn a_name_is_refused_if_any_of_its_addresses_is() {
    assert_eq!(vet_name(Some(&["8.8.8.8", "1.1.1.1"])).await, Ok(vec![address("8.8.8.8"), address("1.1.1.1")]));
    assert_eq!(vet_name(Some(&["8.8.8.8", "10.0.0.1"])).await, Err(Refused::Private(address("10.0.0.1"))));
    assert_eq!(vet_name(Some(&[])).await, Err(Refused::Unresolved));
    assert_eq!(vet_name(None).await, Err(Refused::Unresolved), "a name server that does not answer");
}

#[test]
fn the_peer_is_the_last_door() {
    let guard = Guard::new(GuardPolicy::default());
    assert!(guard.vet_peer("8.8.8.8:443".parse().unwrap()).is_ok());
    assert!(guard.vet_peer("127.0.0.1:443".parse().unwrap()).is_err());
}

proptest! {
    #[test]
    fn no_ipv4_passes_inside_an_ipv6_prefix_that_embeds_it(bits: u32, rest: u64) {
        let (high, low) = (u16::try_from(bits >> 16).unwrap(), u16::try_from(bits & 0xffff).unwrap());
        let [a, b, c, d] = [48, 32, 16, 0].map(|shift| u16::try_from((rest >> shift) & 0xffff).unwrap());
        let embedded = [
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),             // compatible
            Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),        // mapped
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),        // SIIT
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),     // NAT64
            Ipv6Addr::new(0x64, 0xff9b, 1, a, b, c, high, low),     // NAT64, local
            Ipv6Addr::new(0x2002, high, low, a, b, c, d, 0),        // 6to4
            Ipv6Addr::new(0x2001, 0, a, b, c, d, !high, !low),      // Teredo
        ];
        for address in embedded {
            prop_assert!(vet_address(address.into(), &GuardPolicy::default()).is_err(), "{address}");
        }
    }

    #[test]
    fn no_text_makes_the_guard_panic_and_what_passes_is_https(text in ".{0,80}", host in "[0-9a-fx.\\[\\]:%]{0,24}") {
        for text in [text, format!("https://{host}/")] {
            if let Ok(url) = vet_url(&text, &GuardPolicy::default()) {
                prop_assert_eq!(url.scheme(), "https");
            }
        }
    }
}
