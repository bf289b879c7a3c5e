//! Holds the house to its own rules where no lint can see: sizes, forbidden words, and documents that still tell the truth.
//!
//! Needs the standard library alone. Each test lists every place that breaks its rule, so that one run tells all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// About 300 lines is a room; past this, look for a wall.
const LINES_MAX: usize = 500;

/// Longer all the same, and why.
const LONG: [(&str, &str); 3] = [
    ("chains/evm/tests/it/reading.rs", "one table of stories about one source"),
    ("src/store/load.rs", "everything a decision may look at is read in one place"),
    ("src/store/write.rs", "everything a decision changes is written in one place"),
];

/// Where a folder for passing things is named on purpose.
const TEMPORARY_PATHS: [(&str, &str); 2] = [
    ("docker-compose.yml", "the one writable folder of a read-only container"),
    ("src/embedded/ground.rs", "a socket's path has at most 107 bytes, and this folder's is short"),
];

/// A file of the project that is text.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|own| own == extension)
    }

    fn below(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| self.path.starts_with(folder))
    }

    /// Its lines with their numbers.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The lines of a source before its own tests, comments left out. A file of tests has none.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_test =
            self.path.contains("/tests") || self.path.contains("/examples/") || self.path.contains("/testkit");
        let own_tests = self.lines().find(|(_, line)| line.trim() == "#[cfg(test)]").map(|(number, _)| number);
        let end = if is_test { 0 } else { own_tests.unwrap_or(usize::MAX) };
        self.lines()
            .take_while(move |(number, _)| *number < end)
            .map(|(number, line)| (number, line.split("//").next().unwrap_or_default()))
    }
}

fn root() -> &'static Path {
    Path::new(option_env!("CARGO_MANIFEST_DIR").unwrap_or("."))
}

/// Everything that is tracked; without git, everything that is not built.
fn files() -> Vec<File> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let mut paths: Vec<String> = match listed {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).split('\0').map(ToOwned::to_owned).collect()
        }
        _ => walk(root()),
    };
    paths.retain(|path| !path.is_empty());
    paths.sort();
    assert!(paths.len() > 100, "the files of the project were found");
    let read = |path: String| fs::read_to_string(root().join(&path)).ok().map(|text| File { path, text });
    paths.into_iter().filter_map(read).collect()
}

fn walk(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let built = ["target", "node_modules"].contains(&name.as_str());
        let hidden = name.starts_with('.') && name != ".ci";
        if built || hidden {
            continue;
        }
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path.strip_prefix(root()).unwrap().to_string_lossy().into_owned());
        }
    }
    found
}

fn file(path: &str) -> File {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    File { path: path.to_owned(), text }
}

/// Fails with every broken place.
fn none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// Places whose line holds one of the words; words are given in halves, so that this file does not hold them.
fn places<'a>(lines: impl Iterator<Item = (usize, &'a str)>, path: &str, words: &[(&str, &str)]) -> Vec<String> {
    let words: Vec<String> = words.iter().map(|(first, second)| format!("{first}{second}")).collect();
    lines
        .filter(|(_, line)| words.iter().any(|word| line.contains(word.as_str())))
        .map(|(number, line)| format!("{path}:{number}: {}", line.trim()))
        .collect()
}

#[test]
fn no_file_is_longer_than_a_reader_bears() {
    let mut broken = Vec::new();
    let mut long = BTreeSet::new();
    for file in files().iter().filter(|file| ["rs", "md", "sql", "sol", "mjs"].iter().any(|kind| file.is(kind))) {
        let lines = file.text.lines().count();
        if lines > LINES_MAX {
            long.insert(file.path.clone());
            if !LONG.iter().any(|(path, _)| *path == file.path) {
                broken.push(format!("{} has {lines} lines; look for a wall", file.path));
            }
        }
    }
    for (path, _) in LONG.iter().filter(|(path, _)| !long.contains(*path)) {
        broken.push(format!("{path} is short enough now: take it from the list in tests/tidy.rs"));
    }
    none("a file has at most 500 lines", &broken);
}

#[test]
fn tasks_start_only_in_the_supervisor() {
    let words = [("tokio::sp", "awn("), ("tokio::task::sp", "awn("), ("Handle::current().sp", "awn(")];
    let mut broken = Vec::new();
    for file in files().iter().filter(|file| file.is("rs") && file.below(&["src/", "core/", "rpc/", "chains/"])) {
        if file.path != "src/supervisor.rs" && !file.below(&["src/stage/"]) {
            broken.extend(places(file.code(), &file.path, &words));
        }
    }
    none("a task has a name and a policy: start it with Tasks::start", &broken);
}

#[test]
fn the_core_waits_for_nothing_but_its_source() {
    let words = [
        ("async", " "),
        (".aw", "ait"),
        ("tokio", "::"),
        ("std::", "fs"),
        ("std::", "net"),
        ("std::time::Sys", "temTime"),
    ];
    let mut broken = Vec::new();
    for file in files().iter().filter(|file| file.is("rs") && file.below(&["core/src/"])) {
        if file.path != "core/src/source.rs" {
            broken.extend(places(file.code(), &file.path, &words));
        }
    }
    none("the core has no runtime, clock, socket or file", &broken);
}

#[test]
fn no_float_comes_near_money() {
    let mut broken = Vec::new();
    for file in files().iter().filter(|file| file.is("rs") && file.below(&["core/src/", "chains/"])) {
        broken.extend(places(file.code(), &file.path, &[("f", "32"), ("f", "64")]));
    }
    none("money is integers", &broken);
}

#[test]
fn nothing_is_left_for_later_and_no_lint_is_silenced_without_a_reason() {
    let words =
        [("TO", "DO"), ("FIX", "ME"), ("to", "do!("), ("unimpl", "emented!("), ("#[al", "low("), ("#![al", "low(")];
    let mut broken = Vec::new();
    for file in files().iter().filter(|file| !file.is("json") && !file.path.ends_with("Cargo.lock")) {
        broken.extend(places(file.lines(), &file.path, &words));
    }
    none("done, or not begun", &broken);
}

#[test]
fn nothing_names_the_machine_it_was_written_on_or_where_packages_come_from() {
    let words = [("/wo", "rk/"), ("/tm", "p/"), ("/ro", "ot/"), ("crates", ".io"), ("npm", "js."), ("py", "pi.org")];
    let mut broken = Vec::new();
    for file in files().iter().filter(|file| !file.path.ends_with("Cargo.lock") && !file.is("json")) {
        let allowed = TEMPORARY_PATHS.iter().any(|(path, _)| *path == file.path);
        broken.extend(places(file.lines(), &file.path, if allowed { &words[2..] } else { &words }));
    }
    let lock = file("package-lock.json");
    broken.extend(places(lock.lines(), &lock.path, &[("\"reso", "lved\"")]));
    none("the project speaks of itself alone", &broken);
}

/// Links, and what looks like a path of ours between back-ticks, in documents and comments.
fn named_paths(file: &File) -> Vec<(usize, String)> {
    const FOLDERS: [&str; 10] =
        ["src/", "core/", "rpc/", "chains/", "docs/", "tests/", "migrations/", "fixtures/", "scripts/", ".ci/"];
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in file.lines() {
        let prose = if file.is("md") {
            fenced ^= line.trim_start().starts_with("```");
            if fenced { "" } else { line }
        } else {
            line.split_once("//").map_or("", |(_, comment)| comment)
        };
        if file.is("md") {
            let links = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            let ours = links.filter(|link| !link.contains("://"));
            found.extend(ours.map(|link| (number, link.to_owned())));
        }
        for quoted in prose.split('`').skip(1).step_by(2) {
            let path = quoted.split([':', ' ', '#']).next().unwrap_or_default();
            let plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
            if plain
                && FOLDERS.iter().any(|folder| path.starts_with(folder) || path.starts_with(&format!("../{folder}")))
            {
                found.push((number, path.to_owned()));
            }
        }
    }
    found
}

/// The headings of a document as links name them.
fn headings(document: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(document).unwrap_or_default();
    let titles = text.lines().filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
    let kept = |c: char| c.is_alphanumeric() || c == '-' || c == '_' || c == ' ';
    titles
        .map(|title| title.to_lowercase().chars().filter(|c| kept(*c)).collect::<String>().replace(' ', "-"))
        .collect()
}

#[test]
fn every_path_that_a_document_names_is_there() {
    let mut broken = Vec::new();
    for file in files().iter().filter(|file| file.is("md") || file.is("rs")) {
        let beside = root().join(&file.path).parent().map_or_else(PathBuf::new, Path::to_path_buf);
        // A crate speaks of its own files as if it stood alone.
        let of_crate = beside.ancestors().find(|folder| folder.join("Cargo.toml").is_file()).unwrap_or(root());
        for (number, path) in named_paths(file) {
            let (path, heading) = path.split_once('#').unwrap_or((&path, ""));
            let own = root().join(&file.path);
            let bases = [&beside, of_crate, root()].into_iter().map(|base| base.join(path));
            let there = if path.is_empty() { Some(own) } else { bases.into_iter().find(|path| path.exists()) };
            if !there.is_some_and(|there| heading.is_empty() || headings(&there).contains(heading)) {
                broken.push(format!("{}:{number}: {path} {heading}", file.path));
            }
        }
    }
    none("no such path, or no such heading in it", &broken);
}

#[test]
fn every_decision_that_is_cited_is_there_and_every_one_is_listed() {
    let folder = root().join("docs/decisions");
    let pages: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name != "README.md")
        .collect();
    let list = file("docs/decisions/README.md");
    let mut broken = Vec::new();
    for (place, page) in pages.iter().enumerate() {
        let number = format!("{:04}", place + 1);
        if !page.starts_with(&format!("{number}-")) {
            broken.push(format!("{page} is not number {number}"));
        }
        if !list.text.contains(&format!("]({page})")) {
            broken.push(format!("{page} is not in docs/decisions/README.md"));
        }
    }
    for file in files() {
        for (number, line) in file.lines() {
            for cited in line.split(concat!("decisions", "/")).skip(1) {
                let cited: String = cited.chars().take_while(char::is_ascii_digit).collect();
                if cited.len() == 4 && !pages.iter().any(|page| page.starts_with(&cited)) {
                    broken.push(format!("{}:{number}: there is no decision {cited}", file.path));
                }
            }
        }
    }
    none("decisions are numbered, listed and there", &broken);
}

/// The metrics as `src/telemetry.rs` lists them: constant, and the row that the document has of them.
fn metrics() -> BTreeMap<String, (String, String)> {
    let telemetry = file("src/telemetry.rs");
    let list = telemetry.text.split("metrics_list! {\n").nth(1).unwrap().split("\n}").next().unwrap();
    let mut metrics = BTreeMap::new();
    for line in list.lines().map(str::trim) {
        let (constant, rest) = line.split_once(" = \"").unwrap();
        let (name, rest) = rest.split_once("\", Kind::").unwrap();
        let (kind, rest) = rest.split_once(", [").unwrap();
        let (labels, help) = rest.split_once("], \"").unwrap();
        let kind = kind.split('(').next().unwrap().to_lowercase();
        let labels = labels.replace('"', "");
        let row = format!("| `{name}` | {kind} | {labels} | {} |", help.trim_end_matches("\";"));
        metrics.insert(name.to_owned(), (constant.to_owned(), row));
    }
    assert!(metrics.len() > 20, "the list of metrics was read");
    metrics
}

#[test]
fn the_document_lists_the_metrics_that_the_daemon_has() {
    let document = file("docs/LOGGING.md");
    let rows: BTreeSet<&str> = document.text.lines().filter(|line| line.starts_with("| `amn_")).collect();
    let metrics = metrics();
    let wanted: BTreeSet<&str> = metrics.values().map(|(_, row)| row.as_str()).collect();
    let mut broken: Vec<String> = wanted.difference(&rows).map(|row| format!("missing: {row}")).collect();
    broken.extend(rows.difference(&wanted).map(|row| format!("not so in src/telemetry.rs: {row}")));
    none("docs/LOGGING.md and src/telemetry.rs differ", &broken);
}

#[test]
fn every_metric_that_is_described_is_counted() {
    let sources: Vec<File> = files()
        .into_iter()
        .filter(|file| file.is("rs") && file.below(&["src/", "core/src/", "rpc/src/", "chains/"]))
        .filter(|file| file.path != "src/telemetry.rs")
        .collect();
    let counted = |name: &str, constant: &str| {
        let (quoted, named) = (format!("\"{name}\""), format!("metric::{constant}"));
        let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_uppercase() || c == '_');
        sources.iter().any(|file| file.text.contains(&quoted) || file.text.split(&named).skip(1).any(ends))
    };
    let idle: BTreeSet<String> =
        metrics().into_iter().filter(|(name, (constant, _))| !counted(name, constant)).map(|(name, _)| name).collect();
    let broken: Vec<String> = idle.into_iter().map(|name| format!("{name} is described and counted nowhere")).collect();
    none("a metric that is always absent is worse than none", &broken);
}

#[test]
fn the_document_of_events_has_every_event_that_is_told() {
    let kinds = file("core/src/event.rs");
    let told: BTreeSet<&str> =
        kinds.text.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split('"').nth(1)).collect();
    assert!(told.contains("payment.confirmed"), "the kinds were found");
    let document = file("docs/EVENTS.md");
    let table = document.text.split("\n## Which, and when\n").nth(1).unwrap();
    // The first table alone: others below tell of fields.
    let table = table.split("\n#").next().unwrap_or_default();
    let cells = table.lines().filter_map(|line| line.strip_prefix("| ")?.split('|').next());
    let mut said: BTreeSet<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    // Told by the store, when a person asks.
    assert!(said.remove("endpoint.test"), "the test event is in the table");
    assert_eq!(said, told, "left: docs/EVENTS.md; right: core/src/event.rs");
}

#[test]
fn every_route_that_a_document_names_is_served() {
    let routes = file("src/api/routes.rs");
    let served: Vec<Vec<&str>> = routes
        .text
        .split("route(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next()?.split_once(' '))
        .map(|(_, path)| path.split('/').collect())
        .collect();
    assert!(served.len() > 20, "the routes were found");
    let is_served = |path: &str| {
        let asked: Vec<&str> = path.split('/').collect();
        let same = |(have, want): (&&str, &&str)| have == want || have.starts_with('{');
        served.iter().any(|route| route.len() == asked.len() && route.iter().zip(&asked).all(same))
    };
    let mut broken = Vec::new();
    for file in files().iter().filter(|file| file.is("md")) {
        for (number, line) in file.lines() {
            for rest in line.split("/v1/").skip(1) {
                let ends = |c: char| !(c.is_ascii_alphanumeric() || "/-_{}$.".contains(c));
                let path = format!("/v1/{}", rest.split(ends).next().unwrap_or_default());
                let path = path.trim_end_matches('.');
                if !is_served(path) {
                    broken.push(format!("{}:{number}: {path}", file.path));
                }
            }
        }
    }
    none("no such route", &broken);
}
