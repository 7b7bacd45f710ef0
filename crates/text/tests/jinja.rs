//! Jinja2, feature by feature, as transformers' own environment renders it (`fixtures/text/jinja.py`); and what would take more
//! memory, time or stack than a prompt may.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use ruminate_text::{ChatTemplate, Error, GenerationPrompt, SpecialTokens, TemplateInputs};
use serde_json::Value;
use std::time::{Duration, UNIX_EPOCH};

fn compile(source: &str) -> Result<ChatTemplate, Error> {
    ChatTemplate::new(source, &SpecialTokens::default(), UNIX_EPOCH + Duration::from_secs(1_740_787_199))
}

/// What is not as in Jinja2: a part of the template, whether it is refused, and why. No published template has any of it.
const EXPLAINED: [(&str, bool, &str); 26] = [
    ("'%s and %d' %", true, "the operator % on texts"),
    ("| wordcount", true, "a filter of HTML pages"),
    ("|wordwrap", true, "a filter of HTML pages"),
    ("|xmlattr", true, "a filter of HTML pages"),
    ("| filesizeformat", true, "a filter of HTML pages"),
    ("| forceescape", true, "a filter of HTML pages"),
    ("{{ 'a'|center }}", true, "a filter of HTML pages"),
    ("cycler(", true, "a function of HTML pages"),
    (".encode(", true, "bytes"),
    ("{{ +i }}", true, "the sign +"),
    ("dict([(", true, "a mapping of pairs"),
    ("namespace({'a':1}, b=2)", true, "a namespace of a mapping and names"),
    ("|attr('role')", false, "the attribute of a mapping that is a key of it"),
    ("1.real", false, "attributes of numbers"),
    ("{{ d.keys() }}", false, "how a view is written"),
    ("{{ d.items() }}", false, "how a view is written"),
    ("{{ range(3) }}", false, "how a range is written"),
    ("{{ ns }}", false, "how a namespace is written"),
    ("|pprint", false, "where `pprint` breaks lines"),
    ("s ~ big", false, "numbers with an exponent behind ~"),
    ("s|safe + '<b>'", false, "+ on texts that need no escapes"),
    ("namespace(_x=1)", false, "names that transformers forbids"),
    ("{{ 1 in s }}", false, "an answer where Python has an error"),
    ("{{ 'a' < 1 }}", false, "an answer where Python has an error"),
    ("{{ n < 1 }}", false, "an answer where Python has an error"),
    ("{{ undef > 1 }}", false, "an answer where Python has an error"),
];

#[test]
fn features_of_jinja2_are_rendered_as_transformers_renders_them() {
    let path = ruminate_testkit::fixture_path("text/jinja.json");
    let golden: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut context = golden["context"].clone();
    let messages = context.as_object_mut().unwrap().shift_remove("messages").unwrap();
    let messages = ruminate_data::messages("messages", messages).unwrap();
    let inputs = TemplateInputs { kwargs: context.as_object().unwrap().clone(), ..TemplateInputs::default() };
    let (mut same, mut wrong) = (0, Vec::new());
    for row in golden["rows"].as_array().unwrap() {
        let (source, golden) = (row[0].as_str().unwrap(), row[1].as_str());
        let made =
            compile(source).and_then(|template| template.render(&messages, &inputs, GenerationPrompt::Omit));
        match (&made, golden) {
            (Ok(made), Some(golden)) if made == golden => same += 1,
            (Err(_), None) => same += 1,
            _ if EXPLAINED
                .iter()
                .any(|(part, refused, _)| source.contains(part) && made.is_err() == *refused) => {}
            _ => wrong.push(format!("{source}: {golden:?}, {made:?}")),
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(same >= 230, "the corpus has shrunk: {same}");
}

/// On a stack as small as a test's, each of these is an error or a short text.
#[test]
fn no_template_goes_deeper_than_the_stack() {
    let repeated = |before: &str, part: &str, count: usize, after: &str| {
        format!("{before}{}{after}", part.repeat(count))
    };
    let grown = |change: &str, then: &str| {
        format!(
            "{{% set ns = namespace(x=[], y=[]) %}}{{% for i in range(99999) %}}{change}{{% endfor %}}{then}"
        )
    };
    for source in [
        repeated("{{ ", "not ", 50_000, "x }}"),
        repeated("{{ ", "-", 50_000, "1 }}"),
        repeated("{{ x", ".a", 100_000, " }}"),
        repeated("{{ x", "|string", 100_000, " }}"),
        repeated("{{ x", " ~ x", 100_000, " }}"),
        repeated("{{ 1", " if 1 else 1", 100_000, " }}"),
        repeated("{{ ", "[", 1_500, " }}"),
        repeated("{% if x %}", "{% elif x %}", 100_000, "{% endif %}"),
        repeated("", "{% if x %}", 20_000, ""),
        repeated("", "{% filter upper %}", 5_000, ""),
        grown("{% set ns.x = [ns.x] %}", "{{ ns.x }}"),
        grown("{% set ns.x = {'a': ns.x} %}", "{{ ns.x | tojson }}"),
        grown("{% set ns.x = [ns.x] %}{% set ns.y = [ns.y] %}", "{{ ns.x == ns.y }}"),
        grown("{% set ns.x = {'a': ns.x}.values() %}", "{{ ns.x | list }}"),
        "{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns }}".to_owned(),
        "{% set a = namespace() %}{% set b = namespace() %}{% set a.b = b %}{% set b.a = a %}{{ a }}"
            .to_owned(),
        // Nested through what is passed and never assigned.
        "{% macro m(a, b, n) %}{{ m([[a]], [[b]], n - 1) if n else a == b }}{% endmacro %}{{ m([], [], 110) }}".to_owned(),
        "{% macro m(a, n) %}{{ m([[a]], n - 1) if n else a }}{% endmacro %}{{ m([], 110) }}".to_owned(),
        format!("{{{{ {}1{} == {}2{} }}}}", "[".repeat(140), "]".repeat(140), "[".repeat(140), "]".repeat(140)),
        repeated("{{ ", "(", 100, "x ~ x") + &") ~ x".repeat(100) + " }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".to_owned(),
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}".to_owned(),
    ] {
        let made = compile(&source)
            .and_then(|template| template.render(&[], &TemplateInputs::default(), GenerationPrompt::Omit));
        let start: String = source.chars().take(60).collect();
        assert!(made.is_err(), "{start}");
    }
}

#[test]
fn no_template_takes_more_than_its_budget() {
    for source in [
        "{{ 'x'.ljust(9999999999) }}",
        "{{ 'x'.center(9223372036854775807) }}",
        "{{ '{:>99999999999}'.format('a') }}",
        "{{ ''.join(['a' * 1000000] * 1000000) }}",
        "{{ (['a' * 1000000] * 1000000) | join }}",
        "{{ (['a' * 1000000] * 1000000) | string }}",
        "{{ ['a' * 1000000] * 1000000 }}",
        "{{ (['a' * 1000000] * 1000000) | tojson }}",
        "{{ range(9999999999) | list }}",
        // Written out by an operator, a filter or a method, before the engine counts it.
        "{{ (['a' * 1000000] * 1000000) ~ 'b' }}",
        "{% set s = ['a' * 1000000] * 1000000 %}{{ 'b' ~ s }}",
        "{{ (['a' * 1000000] * 1000000) in 'b' }}",
        "{{ (['a' * 1000000] * 1000000) is in 'b' }}",
        "{{ (['a' * 1000000] * 1000000) | upper }}",
        "{{ (['a' * 1000000] * 1000000) | replace('a', 'b') }}",
        "{{ (['a' * 1000000] * 1000000) | indent }}",
        "{{ (['a' * 1000000] * 1000000) | pprint }}",
        "{{ raise_exception(['a' * 1000000] * 1000000) }}",
        "{{ '{}'.format(['a' * 1000000] * 1000000) }}",
        "{% set x = 'a' * 20000000 %}{{ ('{0}' * 10000).format(x) }}",
        "{% set x = 'a' * 20000000 %}{{ ('%(x)s' * 10000) | format(x=x) }}",
        "{{ ('{:>9999}' * 100000).format(*range(100000)) }}",
        "{{ ([1] * 100000000) | tojson }}",
        "{{ [[1]] | tojson(indent='a' * 1000000) }}",
        "{{ ('a ' * 30000000).split() }}",
        "{{ ('a ' * 30000000).split(' ') }}",
        "{{ ('a\n' * 30000000).splitlines() }}",
        "{{ ('a\n' * 30000000) | lines }}",
        "{% for c in 'a' * 60000000 %}{% endfor %}",
        "{{ 'a' * 100000000 }}",
        "{{ ('a' * 60000000) | replace('a', 'aaaaaaaaaaaaaaaa') }}",
        "{{ ('a' * 60000000).replace('a', 'aaaaaaaaaaaaaaaa') }}",
        "{{ ('a' * 1000000).join(['b'] * 1000000) }}",
        "{{ [1] | batch(100000000) | list }}",
        "{{ [1] | slice(100000000) | list }}",
        "{{ 'a'.zfill(100000000) }}",
        "{{ ([1] * 100000000) | last }}",
        "{{ ([1] * 100000000) | reverse }}",
        // A text by its characters, which it has once and a list has as values.
        "{{ ('a' * 20000000) | unique | list }}",
        "{{ ('a' * 20000000) | list | length }}",
        "{{ ('a' * 20000000) | sort | length }}",
        "{{ ('a' * 20000000) | max }}",
        "{{ ('a' * 20000000) | select | first }}",
        "{{ ('a' * 20000000) | groupby('a') | length }}",
        // Each is cheap to count, and takes long.
        "{% set a = [['a' * 9000000]] %}{% set b = [['a' * 9000000]] %}{% for i in range(99999) %}{% for j in range(99999) %}{{ a == b }}{% endfor %}{% endfor %}",
        "{% macro m(a, b, n) %}{{ m([a, a], [b, b], n - 1) if n else a == b }}{% endmacro %}{{ m([1], [1], 90) }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    ] {
        let template = compile(source).unwrap();
        let made = template.render(&[], &TemplateInputs::default(), GenerationPrompt::Omit);
        assert!(matches!(made, Err(Error::TemplateRender { .. })), "{source}");
    }
}

#[test]
fn operators_and_operands_are_as_before_when_they_are_paid_for() {
    let source = "{% set a = [1, 'b'] %}{% set b = [1, 'b'] %}{% set ns = namespace(n=1) %}\
        {{ a == b }}{{ a != b }}{{ -ns.n ~ 'x' ~ a|length ~ b[0] }}{{ 'b' in a and ns.n in b }}{{ ns.n not in a }}\
        {{ ns.n + 1 if a is not none and ns.n == b[0] else 'no' }}{% if not ns.n < b[0] %}!{% endif %}\
        {% for x in a if x in b %}{{ loop.index ~ x }}{% endfor %}{{- a ~ b -}} {{ 1 < ns.n + 1 <= 2 }}";
    let made = compile(source).unwrap().render(&[], &TemplateInputs::default(), GenerationPrompt::Omit);
    assert_eq!(made.unwrap(), "TrueFalse-1x21TrueFalse2!112b[1, 'b'][1, 'b']True");
}

#[test]
fn an_error_names_its_line() {
    let failing = compile("a\n{% if true %}\n{{ 1 + none }}\n{% endif %}").unwrap();
    let error = failing.render(&[], &TemplateInputs::default(), GenerationPrompt::Omit).unwrap_err();
    assert!(error.to_string().contains("line 3: "), "{error}");
    let broken = compile("a\n\n{% for %}").unwrap_err();
    assert!(broken.to_string().contains("line 3: "), "{broken}");
}
