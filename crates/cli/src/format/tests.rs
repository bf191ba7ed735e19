//! The layouts over every type of reply; the comparisons with Debian's redis-cli are in
//! `tests/tests/tools.rs`.

use proptest::prelude::*;
use protocol::Value;

use super::*;

fn bulk(text: &str) -> Value {
    Value::Bulk(text.as_bytes().to_vec())
}

fn text(value: &Value, output: Output) -> String {
    String::from_utf8(render(value, output, false, &Delimiters::default())).unwrap()
}

fn nested() -> Value {
    Value::Map(vec![
        (bulk("k"), Value::Int(1)),
        (Value::Int(2), Value::Array(vec![bulk("a\n"), Value::Null])),
        (bulk("s"), Value::Set(vec![Value::Bool(true)])),
        (bulk("e"), Value::Array(vec![])),
    ])
}

#[test]
fn typed_numbers_and_nests() {
    let expected = "1# \"k\" => (integer) 1\n\
        2# (integer) 2 => \n   1) \"a\\n\"\n   2) (nil)\n\
        3# \"s\" => 1~ (true)\n\
        4# \"e\" => (empty array)\n";
    assert_eq!(text(&nested(), Output::Typed), expected);
    let ten = Value::Array(vec![Value::Array(vec![Value::Int(1), Value::Int(2)]); 10]);
    let lines = text(&ten, Output::Typed);
    assert!(lines.starts_with(" 1) 1) (integer) 1\n    2) (integer) 2\n 2) 1)"), "{lines}");
}

#[test]
fn raw_is_nothing_but_the_data() {
    assert_eq!(text(&nested(), Output::Raw), "k 1\n2 a\n\n\ns (true)\ne \n");
    let delimiters = Delimiters { elements: b"|".to_vec(), replies: b"!".to_vec() };
    let value = Value::Array(vec![bulk("a"), Value::Int(2)]);
    assert_eq!(render(&value, Output::Raw, false, &delimiters), b"a|2!");
    assert_eq!(render(&value, Output::Typed, true, &delimiters), b"a|2");
}

#[test]
fn csv_is_flat() {
    assert_eq!(text(&nested(), Output::Csv), "\"k\",1,2,\"a\\n\",NULL,\"s\",true,\"e\",\n");
    assert_eq!(text(&Value::Error(b"ERR x".to_vec()), Output::Csv), "ERROR,\"ERR x\"\n");
}

#[test]
fn json_has_strings_for_keys() {
    let plain = Output::Json(Strings::Plain);
    let expected = r#"{"k":1,"2":["a\n",null],"s":[true],"e":[]}"#;
    assert_eq!(text(&nested(), plain), format!("{expected}\n"));
    let double = Value::Map(vec![(Value::Double(b"1.5".to_vec()), Value::Bool(false))]);
    assert_eq!(text(&double, plain), "{\"1.5\":false}\n");
    assert_eq!(text(&bulk("é\u{1}"), plain), "\"é\\u0001\"\n");
    assert_eq!(text(&bulk("é"), Output::Json(Strings::Quoted)), "\"\\\\xc3\\\\xa9\"\n");
}

#[test]
fn an_invalidation_names_its_keys() {
    let push = [bulk("invalidate"), Value::Array(vec![bulk("a"), bulk("b")])];
    assert_eq!(invalidation(&push).unwrap(), b"-> invalidate: 'a', 'b'\n");
    assert_eq!(invalidation(&[bulk("message"), Value::Array(vec![])]), None);
    assert_eq!(invalidation(&[bulk("invalidate"), Value::Null]), None);
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<Vec<u8>>().prop_map(Value::Bulk),
        any::<Vec<u8>>().prop_map(Value::Error),
        any::<i64>().prop_map(Value::Int),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Push),
            prop::collection::vec((inner.clone(), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #[test]
    fn every_reply_can_be_printed(value in values()) {
        for output in [Output::Typed, Output::Raw, Output::Csv, Output::Json(Strings::Quoted)] {
            let text = render(&value, output, false, &Delimiters::default());
            prop_assert!(text.ends_with(b"\n"));
        }
    }
}
