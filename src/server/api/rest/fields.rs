//! Bodies and queries, field by field: what is wrong is told with the field's name.

use serde_json::{Map, Value};

use crate::server::http::Refusal;

/// Most items on a page, and how many there are when nothing is asked for.
const MAX_PER_PAGE: u32 = 100;
const PER_PAGE: u32 = 20;

/// The fields of a JSON object that were not looked at yet.
#[derive(Debug)]
pub(super) struct Fields {
    left: Map<String, Value>,
    /// `webhook.` for the fields of an object within.
    within: &'static str,
}

impl Fields {
    /// An empty body is an empty object.
    pub(super) fn parse(body: &[u8]) -> Result<Fields, Refusal> {
        if body.is_empty() {
            return Ok(Fields { left: Map::new(), within: "" });
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(left)) => Ok(Fields { left, within: "" }),
            Ok(_) => Err(Refusal::bad_request("the body is no JSON object")),
            Err(error) => Err(Refusal::bad_request(format!("the body is no JSON: {error}"))),
        }
    }

    fn wrong(&self, field: &str, message: impl std::fmt::Display) -> Refusal {
        let field = format!("{}{field}", self.within);
        Refusal::bad_request(format!("{field}: {message}")).with_field(field)
    }

    /// A text of 1 to `most` characters, if it is given.
    pub(super) fn text(&mut self, field: &str, most: usize) -> Result<Option<String>, Refusal> {
        match self.left.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if (1..=most).contains(&text.chars().count()) => {
                match text.chars().any(char::is_control) {
                    true => Err(self.wrong(field, "no control characters")),
                    false => Ok(Some(text)),
                }
            }
            Some(_) => Err(self.wrong(field, format!("a text of 1 to {most} characters"))),
        }
    }

    /// The same, where it must be given.
    pub(super) fn needed(&mut self, field: &str, most: usize) -> Result<String, Refusal> {
        self.text(field, most)?.ok_or_else(|| self.wrong(field, "is needed"))
    }

    /// One of `known`, if it is given.
    pub(super) fn choice(
        &mut self,
        field: &str,
        known: &[&'static str],
    ) -> Result<Option<&'static str>, Refusal> {
        let Some(value) = self.left.remove(field).filter(|value| !value.is_null()) else { return Ok(None) };
        let found = known.iter().copied().find(|known| value.as_str() == Some(known));
        found.map(Some).ok_or_else(|| self.wrong(field, format!("one of {}", known.join(", "))))
    }

    /// A list of `known`, without those that stand in it twice; empty when it is not given.
    pub(super) fn choices(
        &mut self,
        field: &str,
        known: &[&'static str],
    ) -> Result<Vec<&'static str>, Refusal> {
        let allowed = || format!("a list of {}", known.join(", "));
        let items = match self.left.remove(field) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(self.wrong(field, allowed())),
        };
        let mut chosen: Vec<&'static str> = Vec::new();
        for item in &items {
            let found = known.iter().copied().find(|known| item.as_str() == Some(known));
            let found = found.ok_or_else(|| self.wrong(field, allowed()))?;
            if !chosen.contains(&found) {
                chosen.push(found);
            }
        }
        Ok(chosen)
    }

    /// A whole number from `least` to `most`, if it is given.
    pub(super) fn number(&mut self, field: &str, least: u64, most: u64) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.left.remove(field).filter(|value| !value.is_null()) else { return Ok(None) };
        let number = value.as_u64().filter(|number| (least..=most).contains(number));
        number.map(Some).ok_or_else(|| self.wrong(field, format!("a whole number from {least} to {most}")))
    }

    /// An object within, if it is given. `within` is its name with a dot.
    pub(super) fn object(&mut self, field: &str, within: &'static str) -> Result<Option<Fields>, Refusal> {
        match self.left.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(left)) => Ok(Some(Fields { left, within })),
            Some(_) => Err(self.wrong(field, "an object")),
        }
    }

    /// Nothing may be left.
    pub(super) fn done(self) -> Result<(), Refusal> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(field) => {
                let field: String = field.chars().take(64).collect();
                Err(self.wrong(&field, "is not known here"))
            }
        }
    }

    /// For an error that only the meaning shows.
    pub(super) fn refuse(field: &'static str, message: impl std::fmt::Display) -> Refusal {
        Refusal::bad_request(format!("{field}: {message}")).with_field(field)
    }
}

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    number: u32,
    size: u32,
}

impl Page {
    /// Reads `page` and `perPage` of a query; gives what else is in it too.
    pub(super) fn read(query: &[(String, String)], others: &[&str]) -> Result<Page, Refusal> {
        let mut page = Page { number: 1, size: PER_PAGE };
        for (name, value) in query {
            let number = |most: u32| {
                let number = value.parse().ok().filter(|number| (1..=most).contains(number));
                let allowed = format!("{name}: a whole number from 1 to {most}");
                number.ok_or_else(|| Refusal::bad_request(allowed).with_field(name.clone()))
            };
            match name.as_str() {
                "page" => page.number = number(1_000_000)?,
                "perPage" => page.size = number(MAX_PER_PAGE)?,
                // Read elsewhere: a token may come in the query.
                "access_token" => {}
                other if others.contains(&other) => {}
                other => {
                    let other: String = other.chars().take(64).collect();
                    return Err(Refusal::bad_request(format!("{other}: is not known here")).with_field(other));
                }
            }
        }
        Ok(page)
    }

    pub(super) fn skip(self) -> i64 {
        i64::from(self.number - 1) * i64::from(self.size)
    }

    pub(super) fn most(self) -> i64 {
        i64::from(self.size)
    }

    /// The answer.
    pub(super) fn of(self, total: u64, data: Vec<Value>) -> Value {
        let last = total.div_ceil(u64::from(self.size)).max(1);
        let info = serde_json::json!({
            "currentPage": self.number, "perPage": self.size, "lastPage": last, "total": total,
        });
        serde_json::json!({"pageInfo": info, "data": data})
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        Fields::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn each_field_is_read_once_and_what_is_left_is_refused_by_name() {
        let mut body = fields(json!({"a": "x", "b": 3, "c": ["r", "r"], "d": null, "e": {"f": 1}}));
        assert_eq!(body.needed("a", 5).unwrap(), "x");
        assert_eq!(body.number("b", 1, 3).unwrap(), Some(3));
        assert_eq!(body.choices("c", &["q", "r"]).unwrap(), ["r"]);
        assert_eq!(body.choice("d", &["q"]).unwrap(), None);
        let within = body.object("e", "e.").unwrap().unwrap();
        assert_eq!(within.done().unwrap_err().field(), Some("e.f"));
        body.done().unwrap();
        for (body, field) in [
            (json!({}), "a"),
            (json!({"a": ""}), "a"),
            (json!({"a": "toolong"}), "a"),
            (json!({"a": "\u{7}"}), "a"),
            (json!({"a": 5}), "a"),
            (json!({"a": "x", "n": 0}), "n"),
            (json!({"a": "x", "n": "1"}), "n"),
            (json!({"a": "x", "c": ["other"]}), "c"),
            (json!({"a": "x", "c": "r"}), "c"),
            (json!({"a": "x", "more": 1}), "more"),
        ] {
            let mut read = fields(body.clone());
            let all = |read: &mut Fields| {
                read.needed("a", 5)?;
                read.number("n", 1, 9)?;
                read.choices("c", &["r"])
            };
            let error = all(&mut read).err().or_else(|| read.done().err()).unwrap();
            assert_eq!(error.field(), Some(field), "{body}");
        }
    }

    #[test]
    fn pages_are_counted_from_one() {
        let query = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let page =
            Page::read(&query(&[("page", "3"), ("perPage", "10"), ("roomId", "x")]), &["roomId"]).unwrap();
        assert_eq!((page.skip(), page.most()), (20, 10));
        let info = &page.of(21, vec![json!(1)])["pageInfo"];
        assert_eq!(*info, json!({"currentPage": 3, "perPage": 10, "lastPage": 3, "total": 21}));
        assert_eq!(page.of(0, vec![])["pageInfo"]["lastPage"], 1);
        for wrong in [("page", "0"), ("perPage", "101"), ("page", "x"), ("sort", "up")] {
            let error = Page::read(&query(&[wrong]), &["roomId"]).unwrap_err();
            assert_eq!(error.field(), Some(wrong.0));
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(mut fields) = Fields::parse(&body) {
                let _ = (fields.text("a", 3), fields.number("b", 0, 9), fields.choices("c", &["x"]), fields.done());
            }
        }
    }
}
