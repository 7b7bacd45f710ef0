//! What each keyword of a schema says.

use super::{Invalid, check, validate};
use serde_json::{Value, json};

fn assert_valid(schema: Value, valid: &[Value], invalid: &[Value]) {
    check(&schema).expect("a schema");
    for value in valid {
        assert_eq!(validate(&schema, value), Ok(()), "{schema} {value}");
    }
    for value in invalid {
        let found = validate(&schema, value);
        assert!(matches!(found, Err(Invalid::Instance(_))), "{schema} {value} {found:?}");
    }
}

#[test]
fn each_keyword_says_what_it_says() {
    assert_valid(json!({"type": "integer"}), &[json!(1), json!(1.0)], &[json!(1.5), json!("1"), json!(true)]);
    assert_valid(json!({"type": ["null", "string"]}), &[json!(null), json!("")], &[json!(0)]);
    assert_valid(json!({"enum": [1, "a"]}), &[json!(1.0), json!("a")], &[json!("1"), json!("A")]);
    assert_valid(json!({"const": {"a": [1]}}), &[json!({"a": [1.0]})], &[json!({"a": [1], "b": 2})]);
    assert_valid(
        json!({"minimum": 1, "exclusiveMaximum": 3}),
        &[json!(1), json!(2.9), json!("x")],
        &[json!(0), json!(3)],
    );
    assert_valid(json!({"multipleOf": 0.1}), &[json!(0.3), json!(7)], &[json!(0.35)]);
    assert_valid(
        json!({"minLength": 2, "maxLength": 3}),
        &[json!("äö"), json!("abc")],
        &[json!("a"), json!("abcd")],
    );
    assert_valid(json!({"pattern": "^a+$"}), &[json!("aa"), json!(1)], &[json!("ab")]);
    assert_valid(
        json!({"items": {"type": "number"}, "minItems": 1}),
        &[json!([1, 2])],
        &[json!([]), json!([1, "2"])],
    );
    assert_valid(
        json!({"prefixItems": [{"type": "string"}], "items": false}),
        &[json!(["a"]), json!([])],
        &[json!([1]), json!(["a", 1])],
    );
    assert_valid(
        json!({"uniqueItems": true}),
        &[json!([1, "1", [1]])],
        &[json!([{"a": 1, "b": 2}, {"b": 2, "a": 1.0}])],
    );
    assert_valid(
        json!({"contains": {"const": 1}, "maxContains": 2}),
        &[json!([0, 1]), json!([1, 1])],
        &[json!([]), json!([1, 1, 1])],
    );
    assert_valid(
        json!({"properties": {"a": {"type": "string"}}, "patternProperties": {"^n_": {"type": "number"}},
               "additionalProperties": false, "required": ["a"]}),
        &[json!({"a": "x", "n_1": 2})],
        &[json!({"n_1": 2}), json!({"a": 1}), json!({"a": "x", "n_1": "2"}), json!({"a": "x", "b": 1})],
    );
    assert_valid(json!({"propertyNames": {"maxLength": 1}}), &[json!({"a": 1})], &[json!({"ab": 1})]);
    assert_valid(
        json!({"dependentRequired": {"a": ["b"]}}),
        &[json!({"b": 1}), json!({"a": 1, "b": 1})],
        &[json!({"a": 1})],
    );
    assert_valid(json!({"anyOf": [{"type": "null"}, {"minimum": 3}]}), &[json!(null), json!(4)], &[json!(2)]);
    assert_valid(json!({"oneOf": [{"minimum": 2}, {"maximum": 3}]}), &[json!(1), json!(4)], &[json!(2)]);
    assert_valid(json!({"not": {"type": "string"}}), &[json!(1)], &[json!("a")]);
    assert_valid(
        json!({"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"maxProperties": 1}}),
        &[json!({"a": 1, "b": 1}), json!({"c": 1})],
        &[json!({"a": 1}), json!({"c": 1, "d": 1})],
    );
    assert_valid(
        json!({"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}}}}}),
        &[json!({"left": {"left": {}}})],
        &[json!({"left": {"left": 1}})],
    );
    assert_valid(json!(true), &[json!(1)], &[]);
    assert_valid(json!(false), &[], &[json!(1)]);
}

#[test]
fn a_schema_without_end_or_with_unknown_words_is_the_tasks_fault() {
    let endless = json!({"$ref": "#"});
    assert!(matches!(validate(&endless, &json!(1)), Err(Invalid::Schema(_))));
    let missing = json!({"$ref": "#/$defs/none"});
    assert!(matches!(validate(&missing, &json!(1)), Err(Invalid::Schema(_))));
    for schema in [json!({"unheard": 1}), json!({"$ref": "https://x/y"}), json!({"pattern": "("}), json!(1)] {
        assert!(check(&schema).is_err(), "{schema}");
    }
}
