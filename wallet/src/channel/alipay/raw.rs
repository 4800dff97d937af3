//! JSON as bytes: where the members of an object stand. A signature covers bytes, so nothing is parsed and written again.

/// The members of an object: names without quotes, values as they stand. None where it is no single object.
///
/// Values are found by their borders; whether they are well formed is for whoever parses them.
pub fn members(json: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut scan = Scan { json, at: 0 };
    let mut found = Vec::new();
    scan.take(b'{')?;
    if scan.peek()? == b'}' {
        scan.at += 1;
    } else {
        loop {
            scan.peek()?;
            let name = scan.string()?;
            scan.take(b':')?;
            scan.peek()?;
            found.push((&name[1..name.len() - 1], scan.value()?));
            match scan.peek()? {
                b',' => scan.at += 1,
                b'}' => {
                    scan.at += 1;
                    break;
                }
                _ => return None,
            }
        }
    }
    scan.peek().is_none().then_some(found)
}

/// The same JSON with each number as a string of its digits, so that an amount never becomes a float. Alipay writes amounts as either.
pub fn text_numbers(json: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(json.len() + 16);
    let mut scan = Scan { json, at: 0 };
    while let Some(&byte) = json.get(scan.at) {
        let from = scan.at;
        match byte {
            b'"' if scan.string().is_some() => text.extend_from_slice(&json[from..scan.at]),
            b'-' | b'0'..=b'9' => {
                while json.get(scan.at).is_some_and(|b| matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
                    scan.at += 1;
                }
                text.push(b'"');
                text.extend_from_slice(&json[from..scan.at]);
                text.push(b'"');
            }
            _ => {
                text.push(byte);
                scan.at = from + 1;
            }
        }
    }
    text
}

struct Scan<'j> {
    json: &'j [u8],
    at: usize,
}

impl<'j> Scan<'j> {
    /// The next byte that is not white space, which stays.
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.json.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        self.json.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// A string with its quotes.
    fn string(&mut self) -> Option<&'j [u8]> {
        let from = self.at;
        if *self.json.get(from)? != b'"' {
            return None;
        }
        let mut at = from + 1;
        loop {
            match self.json.get(at)? {
                b'\\' => at += 2,
                b'"' => {
                    self.at = at + 1;
                    return Some(&self.json[from..=at]);
                }
                _ => at += 1,
            }
        }
    }

    /// A value of any kind.
    fn value(&mut self) -> Option<&'j [u8]> {
        let from = self.at;
        match self.json.get(from)? {
            b'"' => return self.string(),
            b'{' | b'[' => {
                let mut depth = 0_usize;
                loop {
                    match self.json.get(self.at)? {
                        b'"' => {
                            self.string()?;
                            continue;
                        }
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth -= 1,
                        _ => {}
                    }
                    self.at += 1;
                    if depth == 0 {
                        break;
                    }
                }
            }
            _ => {
                while !matches!(self.json.get(self.at)?, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n') {
                    self.at += 1;
                }
            }
        }
        (self.at > from).then(|| &self.json[from..self.at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_where_they_stand() {
        let json = br#" { "a" : {"b":"}\"","c":[1,{"d":"]"}]} , "e":null,"f" : "x\\" , "g":-1.5e3 } "#;
        let found = members(json).unwrap();
        let text: Vec<(&str, &str)> =
            found.iter().map(|(name, value)| (std::str::from_utf8(name).unwrap(), std::str::from_utf8(value).unwrap())).collect();
        assert_eq!(text, [("a", r#"{"b":"}\"","c":[1,{"d":"]"}]}"#), ("e", "null"), ("f", r#""x\\""#), ("g", "-1.5e3")]);
        assert_eq!(members(b"{}"), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_single_object_has_no_members() {
        for json in [
            "",
            "[]",
            "{",
            "{}{}",
            "{\"a\":}",
            "{\"a\"}",
            "{\"a\":1",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\":\"1}",
            "{\"a\\",
            "{\"a\":1 2}",
            "{\"a\":{]",
        ] {
            assert_eq!(members(json.as_bytes()), None, "{json}");
        }
    }

    #[test]
    fn numbers_become_text_digit_by_digit() {
        let json = br#"{"a":88.80,"b":"1.5","c":[0.10,-2,3e1],"d":true,"e\"1":null}"#;
        let expected = br#"{"a":"88.80","b":"1.5","c":["0.10","-2","3e1"],"d":true,"e\"1":null}"#;
        assert_eq!(text_numbers(json), expected);
        assert_eq!(text_numbers(b"\"open 1"), b"\"open \"1\"", "what is not well formed stays so");
    }
}
