//! What INFO answers, with its fields in order.
//!
//! Must not: know what any field means.

use std::fmt;
use std::str::FromStr;

/// One reply to INFO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    fields: Vec<(String, String)>,
}

impl Info {
    pub fn parse(text: &str) -> Info {
        let fields = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        Info { fields }
    }

    pub fn find(&self, field: &str) -> Option<&str> {
        self.fields.iter().find(|(name, _)| name == field).map(|(_, value)| value.as_str())
    }

    /// The value of a field that must be there.
    #[track_caller]
    pub fn text(&self, field: &str) -> &str {
        self.find(field).unwrap_or_else(|| panic!("INFO has no field {field}:\n{self}"))
    }

    /// The value of a field that must be there and a number.
    #[track_caller]
    pub fn number<T: FromStr>(&self, field: &str) -> T {
        let text = self.text(field);
        text.parse().unwrap_or_else(|_| panic!("INFO {field} is no number: {text}"))
    }

    /// Field names in the order of the reply.
    pub fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// `name=value` parts of fields such as `slave0:ip=...,port=...`.
    pub fn part(&self, field: &str, part: &str) -> Option<&str> {
        self.find(field)?
            .split(',')
            .filter_map(|p| p.split_once('='))
            .find(|(n, _)| *n == part)
            .map(|(_, v)| v)
    }
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fields.iter().try_for_each(|(name, value)| writeln!(f, "{name}:{value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_values_may_hold_colons() {
        let info =
            Info::parse("# Server\r\nb:1\r\nexe:/a:b\r\n\r\n# X\r\nslave0:ip=::1,port=7\r\n");
        assert_eq!(info.names(), ["b", "exe", "slave0"]);
        assert_eq!(info.text("exe"), "/a:b");
        assert_eq!(info.number::<u32>("b"), 1);
        assert_eq!(info.part("slave0", "port"), Some("7"));
    }
}
