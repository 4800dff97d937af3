//! Where SQL stands: the statements of migrations, of the prepared queries, and of the literals in Rust sources.

use sqlparser::ast;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};

/// What runs a statement: a migration once, or the services every day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Migration,
    Query,
}

/// One SQL statement and where it stands.
#[derive(Clone, Debug)]
pub struct Statement {
    pub origin: Origin,
    pub file: String,
    pub line: usize,
    /// What the parser made of it; none for what it does not know, which the rules over words still read.
    pub parsed: Option<ast::Statement>,
    /// Why it could not be parsed.
    pub unread: Option<String>,
    /// Bare words in upper case, those in the bodies of functions and blocks too. No literals, no quoted names.
    pub words: Vec<Word>,
    /// The comments in it.
    pub comments: String,
    /// Whether it stands in the body of a `for`.
    pub in_loop: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    pub line: usize,
    /// Whether a bracket follows: the name of a function.
    pub called: bool,
}

impl Statement {
    /// The words from the start, each followed by a space.
    pub fn head(&self) -> String {
        self.words.iter().take(8).map(|word| format!("{} ", word.text)).collect()
    }
}

/// The statements of a migration.
pub fn migration(file: &str, text: &str) -> Vec<Statement> {
    statements(Origin::Migration, file, 1, text)
}

/// The statements of a literal that begins at `line`.
pub fn query(file: &str, line: usize, text: &str) -> Vec<Statement> {
    statements(Origin::Query, file, line, text)
}

/// The statements in the string literals of a Rust source.
pub fn rust(file: &str, text: &str) -> Vec<Statement> {
    let mut found = Vec::new();
    for literal in literals(text).into_iter().filter(|literal| is_sql(&literal.text)) {
        let mut of_one = query(file, literal.line, &literal.text);
        for statement in &mut of_one {
            statement.in_loop = literal.in_loop;
        }
        found.extend(of_one);
    }
    found
}

/// The same text, whatever its white space: the macros keep a literal as it stands, but a continued line loses its indent.
pub fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a literal must begin with to count as SQL.
const VERBS: [&str; 28] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "MERGE", "LOCK", "LISTEN", "UNLISTEN", "NOTIFY", "CREATE", "ALTER", "DROP", "TRUNCATE",
    "SET", "RESET", "GRANT", "REVOKE", "VACUUM", "ANALYZE", "REINDEX", "COPY", "CALL", "DO", "BEGIN", "PREPARE", "REFRESH", "COMMIT",
];

/// Whether a literal is SQL: it begins with a verb in capitals and goes on.
pub fn is_sql(literal: &str) -> bool {
    let text = literal.trim_start();
    // a leading comment may hold a mark
    let text = text.strip_prefix("--").and_then(|rest| rest.split_once('\n')).map_or(text, |(_, rest)| rest.trim_start());
    let verb: String = text.chars().take_while(char::is_ascii_uppercase).collect();
    VERBS.contains(&verb.as_str()) && text[verb.len()..].starts_with(|c: char| c.is_whitespace() || c == '(')
}

fn statements(origin: Origin, file: &str, line: usize, text: &str) -> Vec<Statement> {
    let dialect = PostgreSqlDialect {};
    let one = |tokens: Vec<TokenWithSpan>| {
        let from = tokens.iter().find(|t| !matches!(t.token, Token::Whitespace(_))).map_or(1, |t| t.span.start.line as usize);
        let comments = tokens.iter().filter_map(|t| comment(&t.token)).collect();
        let words = words(&tokens, line - 1);
        let parsed = Parser::new(&dialect).with_tokens_with_locations(plain_locks(tokens)).parse_statements();
        let (parsed, unread) = match parsed {
            Ok(mut all) if all.len() == 1 => (all.pop(), None),
            Ok(_) => (None, Some("not one statement".to_owned())),
            Err(error) => (None, Some(error.to_string())),
        };
        Statement { origin, file: file.to_owned(), line: line + from - 1, parsed, unread, words, comments, in_loop: false }
    };
    let tokens = match Tokenizer::new(&dialect, text).tokenize_with_location() {
        Ok(tokens) => tokens,
        Err(error) => {
            let mut broken = one(Vec::new());
            broken.unread = Some(error.to_string());
            return vec![broken];
        }
    };
    tokens
        .split(|t| t.token == Token::SemiColon)
        .filter(|part| part.iter().any(|t| !matches!(t.token, Token::Whitespace(_))))
        .map(|part| {
            let mut found = one(part.to_vec());
            // a format! with a name in it: any name will do
            if found.unread.is_some() && part.iter().any(|t| t.token == Token::LBrace) {
                let filled = one(filled(part));
                if filled.unread.is_none() {
                    (found.parsed, found.unread) = (filled.parsed, None);
                }
            }
            found
        })
        .collect()
}

/// The text of a comment.
fn comment(token: &Token) -> Option<String> {
    match token {
        Token::Whitespace(Whitespace::SingleLineComment { comment, .. }) => Some(comment.clone()),
        Token::Whitespace(Whitespace::MultiLineComment(comment)) => Some(format!("{comment}\n")),
        _ => None,
    }
}

/// The parser knows two strengths of row locks of PostgreSQL's four; for the rules they are all locks.
fn plain_locks(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let word = |token: &TokenWithSpan| match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_uppercase(),
        _ => String::new(),
    };
    let tokens: Vec<TokenWithSpan> = tokens.into_iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).collect();
    let mut kept: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut rest = tokens.iter();
    while let Some(token) = rest.next() {
        kept.push(token.clone());
        if word(token) == "FOR" {
            let ahead: Vec<String> = rest.as_slice().iter().take(3).map(word).collect();
            let skipped = match ahead.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["NO", "KEY", "UPDATE"] => 2,
                ["KEY", "SHARE", ..] => 1,
                _ => 0,
            };
            rest.by_ref().take(skipped).for_each(drop);
        }
    }
    kept
}

/// Tokens with every `{…}` replaced by a name.
fn filled(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut kept = Vec::new();
    let mut open = false;
    for token in tokens {
        match token.token {
            Token::LBrace => open = true,
            Token::RBrace => {
                open = false;
                kept.push(TokenWithSpan::new(Token::make_word("filled_in", None), token.span));
            }
            _ if !open => kept.push(token.clone()),
            _ => {}
        }
    }
    kept
}

fn words(tokens: &[TokenWithSpan], lines_before: usize) -> Vec<Word> {
    let mut found: Vec<Word> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let line = lines_before + token.span.start.line as usize;
        match &token.token {
            Token::Word(word) if word.quote_style.is_none() => {
                let called = tokens.get(at + 1).is_some_and(|next| next.token == Token::LParen);
                found.push(Word { text: word.value.to_uppercase(), line, called });
            }
            // the body of a function or a block
            Token::DollarQuotedString(body) => {
                if let Ok(inner) = Tokenizer::new(&PostgreSqlDialect {}, &body.value).tokenize_with_location() {
                    found.extend(words(&inner, line - 1));
                }
            }
            _ => {}
        }
    }
    found
}

/// A string literal of a Rust source.
#[derive(Debug, PartialEq, Eq)]
pub struct Literal {
    pub line: usize,
    pub text: String,
    /// Whether a `for` is around it.
    pub in_loop: bool,
}

/// The string literals of a Rust source, without those of comments and of unit tests.
pub fn literals(text: &str) -> Vec<Literal> {
    let text = text.split_once("#[cfg(test)]").map_or(text, |(before, _)| before);
    let mut scan = Scan { rest: text, at: Location::new(1, 1), found: Vec::new(), blocks: Vec::new(), header: String::new() };
    scan.run();
    scan.found
}

/// Reads Rust just well enough to tell literals, comments and blocks apart.
struct Scan<'a> {
    rest: &'a str,
    at: Location,
    found: Vec<Literal>,
    /// For each open brace, whether it is the body of a `for`.
    blocks: Vec<bool>,
    /// What stands since the last brace or semicolon.
    header: String,
}

impl<'a> Scan<'a> {
    fn run(&mut self) {
        while let Some(c) = self.rest.chars().next() {
            let line = self.at.line as usize;
            if self.rest.starts_with("//") {
                self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                self.take(self.rest.find("*/").map_or(self.rest.len(), |end| end + 2));
            } else if let Some(hashes) = self.raw_hashes() {
                let start = self.rest.find('"').unwrap_or(0) + 1;
                self.take(start);
                let end = format!("\"{}", "#".repeat(hashes));
                let length = self.rest.find(&end).unwrap_or(self.rest.len());
                let text = self.take(length).to_owned();
                self.take(end.len());
                self.keep(line, text);
            } else if c == '"' {
                self.take(1);
                let length = closing_quote(self.rest);
                let text = self.take(length).to_owned();
                self.take(1);
                self.keep(line, unescaped(&text));
            } else if let Some(length) = character(self.rest) {
                self.take(length);
            } else {
                self.code(c);
            }
        }
    }

    /// How many `#` a raw string that begins here has.
    fn raw_hashes(&self) -> Option<usize> {
        let after = self.rest.strip_prefix('r')?;
        if self.header.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            return None;
        }
        let text = after.trim_start_matches('#');
        text.starts_with('"').then_some(after.len() - text.len())
    }

    fn code(&mut self, c: char) {
        match c {
            '{' => {
                let words: Vec<&str> = self.header.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
                self.blocks.push(words.contains(&"for") && words.contains(&"in") && !words.contains(&"impl"));
                self.header.clear();
            }
            '}' => {
                self.blocks.pop();
                self.header.clear();
            }
            ';' => self.header.clear(),
            _ => self.header.push(c),
        }
        self.take(c.len_utf8());
    }

    fn keep(&mut self, line: usize, text: String) {
        self.found.push(Literal { line, text, in_loop: self.blocks.contains(&true) });
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.at.line += taken.matches('\n').count() as u64;
        self.rest = rest;
        taken
    }
}

/// Length up to the quote that closes a plain string.
fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at,
            _ => {}
        }
    }
    text.len()
}

/// Length of a character literal that begins here; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('\'')?;
    if let Some(escape) = inner.strip_prefix('\\') {
        return escape.char_indices().skip(1).find(|(_, c)| *c == '\'').map(|(at, _)| at + 3);
    }
    let c = inner.chars().next()?;
    inner[c.len_utf8()..].starts_with('\'').then_some(2 + c.len_utf8())
}

/// A plain string as it is at run time. A line that ends with a backslash keeps its line break, for the numbers of lines.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, c == '\\') {
            (_, false) => plain.push(c),
            _ => match rest.next() {
                Some('n') => plain.push('\n'),
                Some('t') => plain.push('\t'),
                Some(other) => plain.push(other),
                None => {}
            },
        }
    }
    plain
}
