//! Damaged files, made from good ones by a seeded generator, and read in a process of their own: one that aborts, hangs or
//! takes too much memory is a failed test that names its mutant, and not the end of all tests.
//!
//! `RUMINATE_MUTANTS=3000` makes that many of each kind and prints what they took, `RUMINATE_MUTANT=17` makes one alone.
#![allow(dead_code, reason = "each kind of file needs a part of it")]

use serde_json::Value;
use std::fs::{self, File};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The test whose mutants a child process reads.
const CHILD: &str = "RUMINATE_MUTANTS_CHILD";
const LOG: &str = "RUMINATE_MUTANTS_LOG";

/// What reading one file may take beside what the process had before, in KiB.
const MAX_KIB: u64 = 256 << 10;

/// What it may take on a processor, in milliseconds.
const MAX_MS: u64 = 5_000;

/// Address space of the child, in KiB: what is asked for and never touched counts, too.
const ADDRESS_KIB: u64 = 6 << 20;

/// How long the child may be silent before it is taken for one that hangs.
const SILENCE: Duration = Duration::from_mins(2);

/// Makes mutants and reads them in a child process; `test` is the name of the calling test.
pub(crate) fn run(test: &str, by_default: u64, make: impl Fn(&mut Random) -> Vec<u8>, read: impl Fn(&[u8])) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let numbers = match number("RUMINATE_MUTANT") {
        Some(one) => one..one + 1,
        None => 0..number("RUMINATE_MUTANTS").unwrap_or(by_default),
    };
    if std::env::var(CHILD).is_ok_and(|name| name == test) {
        let log = std::env::var(LOG).expect("the parent says where");
        let mut log = File::options().append(true).open(log).expect("the parent made it");
        for number in numbers {
            let mutant = make(&mut Random::new(number));
            if std::env::var_os("RUMINATE_MUTANT").is_some() {
                eprintln!("{}", &String::from_utf8_lossy(&mutant));
            }
            write!(log, "{number} ").expect("written");
            let before = start_of_peak();
            let clock = (Instant::now(), cpu_ms());
            read(&mutant);
            // Other programs may have the processors.
            let time = cpu_ms()
                .zip(clock.1)
                .map_or_else(|| clock.0.elapsed().as_millis() as u64, |(now, then)| now - then);
            let peak = peak_kib().saturating_sub(before);
            writeln!(log, "{time} {peak}").expect("written");
        }
        return;
    }
    let log = tempfile::NamedTempFile::new().expect("a file");
    let limited = format!("ulimit -v {ADDRESS_KIB} 2>/dev/null; ulimit -c 0 2>/dev/null; exec \"$0\" \"$@\"");
    let mut child = Command::new("sh")
        .args(["-c", &limited])
        .arg(std::env::current_exe().expect("this test"))
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, test)
        .env(LOG, log.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell");
    let stderr = child.stderr.take().expect("piped");
    let errors = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap_or_default());
    let (mut seen, mut since) = (0, Instant::now());
    let ending = loop {
        if let Some(status) = child.try_wait().expect("waited for") {
            break (!status.success()).then(|| format!("ends the process, {status}"));
        }
        let length = fs::metadata(log.path()).map_or(0, |log| log.len());
        if length != seen {
            (seen, since) = (length, Instant::now());
        } else if since.elapsed() > SILENCE {
            let _ = child.kill();
            break Some("does not end".to_owned());
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let _ = child.wait();
    let errors = errors.join().unwrap_or_default();
    let lines = fs::read_to_string(log.path()).expect("the log");
    let rows: Vec<Vec<u64>> = lines
        .lines()
        .map(|line| line.split_whitespace().filter_map(|number| number.parse().ok()).collect())
        .collect();
    if let Some(ending) = ending {
        let last = rows.last().and_then(|row| row.first());
        panic!("{test}: RUMINATE_MUTANT={} {ending}\n{}", last.map_or(0, |n| *n), tail(&errors));
    }
    let most =
        |place: usize| rows.iter().max_by_key(|row| row.get(place).copied()).cloned().unwrap_or_default();
    let (slowest, largest) = (most(1), most(2));
    if std::env::var_os("RUMINATE_MUTANTS").is_some() {
        eprintln!(
            "{test}: {} mutants; slowest {} with {} ms, largest {} with {} KiB",
            rows.len(),
            slowest[0],
            slowest[1],
            largest[0],
            largest[2]
        );
    }
    assert!(largest[2] <= MAX_KIB, "{test}: RUMINATE_MUTANT={} takes {} KiB", largest[0], largest[2]);
    assert!(slowest[1] <= MAX_MS, "{test}: RUMINATE_MUTANT={} takes {} ms", slowest[0], slowest[1]);
    assert_eq!(rows.len() as u64, numbers.end - numbers.start);
}

/// Time on processors of this process in milliseconds, to a hundredth of a second, where Linux counts it: fields 14 and 15
/// of `/proc/PID/stat` (proc(5)), in its ticks of 10 ms.
fn cpu_ms() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(ticks * 10)
}

fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(2000);
    let start = (start..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[start..]
}

/// Begins to measure the peak of memory; what is in use now, in KiB. Where the system measures none, 0.
fn start_of_peak() -> u64 {
    let _ = fs::write("/proc/self/clear_refs", "5");
    status("VmRSS:")
}

fn peak_kib() -> u64 {
    status("VmHWM:")
}

fn status(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

/// A generator of its own, so that a mutant is the same one on every machine and for all time (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`; 0 where that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub(crate) fn choose<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1",
    "255",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "1000000000",
    "9223372036854775807",
    "18446744073709551615",
    "1e308",
];

/// Some of the bytes replaced, removed, repeated or put from elsewhere, one to four times; `words` are put in, too.
pub(crate) fn bytes(random: &mut Random, base: &[u8], other: &[u8], words: &[&str]) -> Vec<u8> {
    let mut bytes = base.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        let end = (at + 1 + random.below(40)).min(bytes.len());
        match random.below(9) {
            _ if bytes.is_empty() => bytes.extend(b"{"),
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.below(256) as u8,
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                let times = [1, 2, 10, 300, 3000][random.below(5)];
                bytes.splice(at..at, part.repeat(times));
            }
            4 => drop(bytes.splice(at..at, random.choose(words).bytes())),
            5 => {
                let from = random.below(other.len());
                let to = (from + random.below(200)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            6 => {
                let digits =
                    |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                if let Some(start) = (at..bytes.len()).find(|place| bytes[*place].is_ascii_digit()) {
                    let number = NUMBERS[random.below(NUMBERS.len())];
                    let length = digits(start);
                    bytes.splice(start..start + length, number.bytes());
                }
            }
            7 => {
                let number =
                    [0, 1, 255, u64::from(u32::MAX), 1 << 40, u64::MAX][random.below(6)].to_le_bytes();
                let end = (at + 8).min(bytes.len());
                bytes.splice(at..end, number);
            }
            _ => bytes.truncate(at + 1),
        }
    }
    bytes
}

/// A JSON file with one to three of its values replaced, by what stands elsewhere in it, by `values`, or by extreme ones.
pub(crate) fn json(random: &mut Random, base: &Value, values: &[Value]) -> Value {
    let mut json = base.clone();
    for _ in 0..=random.below(3) {
        let with = match random.below(6) {
            0 => serde_json::from_str(NUMBERS[random.below(NUMBERS.len())]).expect("a number"),
            1 => part(random, base).clone(),
            2 => Value::String(
                ["", "a", "\u{2581}", "<unk>", "(a+)+$"][random.below(5)]
                    .repeat([1, 1, 5000][random.below(3)]),
            ),
            3 => [Value::Null, true.into(), Value::Array(vec![]), serde_json::json!({})][random.below(4)]
                .clone(),
            _ => values[random.below(values.len())].clone(),
        };
        let mut place = &mut json;
        loop {
            let length = match &*place {
                Value::Array(items) => items.len(),
                Value::Object(keys) => keys.len(),
                _ => 0,
            };
            if length == 0 || random.below(6) == 0 {
                *place = with;
                break;
            }
            let step = random.below(length);
            place = match place {
                Value::Array(items) => &mut items[step],
                Value::Object(keys) => keys.values_mut().nth(step).expect("below the length"),
                _ => break,
            };
        }
    }
    json
}

fn part<'a>(random: &mut Random, json: &'a Value) -> &'a Value {
    let mut place = json;
    loop {
        let children: Vec<&Value> = match place {
            Value::Array(items) => items.iter().collect(),
            Value::Object(keys) => keys.values().collect(),
            _ => return place,
        };
        if children.is_empty() || random.below(4) == 0 {
            return place;
        }
        place = children[random.below(children.len())];
    }
}

/// A file of the repository.
pub(crate) fn fixture(path: &str) -> Vec<u8> {
    let path = ruminate_testkit::fixture_path(path);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The same as JSON.
pub(crate) fn json_fixture(path: &str) -> Value {
    serde_json::from_slice(&fixture(path)).expect("JSON")
}
