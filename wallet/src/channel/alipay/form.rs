//! Form encoding, read strictly: a name that comes twice or bytes that are no UTF-8 are refused, since a signature is over decoded text.

use std::fmt::Write;

use super::sign::Params;

/// Most parameters that are read.
const PARAMS_MAX: usize = 128;

/// A form that is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the form is not encoded as agreed, or holds a parameter twice")]
pub struct FormError;

/// `name=value` pairs with `&` between them.
pub fn encode(params: &Params) -> String {
    let mut form = String::new();
    for (name, value) in params {
        if !form.is_empty() {
            form.push('&');
        }
        escape(name, &mut form);
        form.push('=');
        escape(value, &mut form);
    }
    form
}

fn escape(text: &str, form: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => form.push(char::from(byte)),
            b' ' => form.push('+'),
            // writing to a String does not fail
            _ => _ = write!(form, "%{byte:02X}"),
        }
    }
}

/// Reads what [`encode`] writes.
pub fn decode(form: &[u8]) -> Result<Params, FormError> {
    let mut params = Params::new();
    for pair in form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let at = pair.iter().position(|byte| *byte == b'=').ok_or(FormError)?;
        let (name, value) = (plain(&pair[..at])?, plain(&pair[at + 1..])?);
        if name.is_empty() || params.len() == PARAMS_MAX || params.insert(name, value).is_some() {
            return Err(FormError);
        }
    }
    Ok(params)
}

fn plain(text: &[u8]) -> Result<String, FormError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|b| char::from(*b).to_digit(16)).ok_or(FormError);
                let value = digit()? * 16 + digit()?;
                u8::try_from(value).map_err(|_| FormError)?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| FormError)
}

#[cfg(test)]
mod tests {
    use super::super::sign::tests::params;
    use super::*;

    #[test]
    fn a_form_comes_back_as_it_was_written() {
        let given = params(&[("a", "1 + 1 = 2 & 茶%"), ("b", ""), ("c d", "~*-._/\n\u{0}")]);
        let form = encode(&given);
        assert_eq!(form, "a=1+%2B+1+%3D+2+%26+%E8%8C%B6%25&b=&c+d=%7E*-._%2F%0A%00");
        assert_eq!(decode(form.as_bytes()), Ok(given));
        assert_eq!(decode(b""), Ok(Params::new()));
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        let cases: [&[u8]; 9] = [b"a=1&a=1", b"a=1&%61=2", b"a", b"=1", b"a=%", b"a=%4", b"a=%4g", b"a=%+1", b"a=%FF"];
        for form in cases {
            assert_eq!(decode(form), Err(FormError), "{}", String::from_utf8_lossy(form));
        }
        assert_eq!(decode(b"a=\xff"), Err(FormError));
        let many: Vec<String> = (0..=PARAMS_MAX).map(|n| format!("p{n}=")).collect();
        assert_eq!(decode(many.join("&").as_bytes()), Err(FormError));
    }
}
