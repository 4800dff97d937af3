//! From the bytes of a request to one checked operation: content type, accepted answer, size, shape, document.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use async_graphql::parser::types::{ExecutableDocument, OperationDefinition, OperationType, Selection, SelectionSet};
use async_graphql::{Name, ServerError, Variables, parser};
use axum::http::{HeaderMap, StatusCode, header};
use moka::sync::Cache;
use serde_json::{Map, Value};

use super::answer::Fault;

/// The media type of GraphQL over HTTP.
pub const GRAPHQL_JSON: &str = "application/graphql-response+json";

/// Longest document.
pub const DOCUMENT_LEN_MAX: usize = 16 * 1024;

/// Deepest nesting of lists and objects in the variables.
pub const VARIABLES_DEPTH_MAX: usize = 8;

/// Most selections of a document once its fragments are written out. Fragments that double each other 40 times over fit a kilobyte and
/// would keep validation busy for years, so they are counted before it sees them.
const SELECTIONS_MAX: usize = 1_000;

/// Documents that were read before, by their text: a page sends the same few over and over, and reading them took 7 % of a server's time
/// under payments. Those that are asked for most stay, at most a mebibyte of text; what they take in memory is several times that.
static DOCUMENTS: LazyLock<Cache<String, Arc<ExecutableDocument>>> = LazyLock::new(|| {
    let bytes = |text: &String, _: &Arc<ExecutableDocument>| u32::try_from(text.len()).unwrap_or(u32::MAX);
    Cache::builder().max_capacity(1 << 20).weigher(bytes).build()
});

/// The form an answer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    GraphQl,
    Json,
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::GraphQl => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        }
    }
}

/// Picks the answer's form by `Accept`: the best of what is named, GraphQL's own where nothing is said.
pub fn negotiate(headers: &HeaderMap) -> Result<Format, Fault> {
    let mut best: Option<(Format, f32)> = None;
    let mut named = false;
    for range in headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')) {
        named = true;
        let mut parts = range.split(';').map(str::trim);
        let format = match parts.next().unwrap_or("").to_ascii_lowercase().as_str() {
            GRAPHQL_JSON | "*/*" | "application/*" => Format::GraphQl,
            "application/json" => Format::Json,
            _ => continue,
        };
        let quality = parts.find_map(|p| p.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
        let better = best.is_none_or(|(chosen, q)| quality > q || (quality == q && format == Format::GraphQl && chosen == Format::Json));
        if quality > 0.0 && better {
            best = Some((format, quality));
        }
    }
    match best {
        Some((format, _)) => Ok(format),
        None if !named => Ok(Format::GraphQl),
        None => {
            let message = "请在 Accept 中接受 application/graphql-response+json 或 application/json";
            Err(Fault::new(StatusCode::NOT_ACCEPTABLE, "INPUT_ACCEPT", message))
        }
    }
}

/// Whether the caller asks for server-sent events, by name.
pub fn wants_events(headers: &HeaderMap) -> bool {
    let ranges = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    ranges.filter_map(|range| range.split(';').next()).any(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// Lets JSON in and nothing else: forms and multipart are what a foreign page could send without asking.
pub fn content_type(headers: &HeaderMap) -> Result<(), Fault> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let mut parts = given.split(';').map(|p| p.trim().to_ascii_lowercase());
    let known = matches!(parts.next().as_deref(), Some("application/json" | GRAPHQL_JSON));
    let utf8 = parts.all(|p| p.strip_prefix("charset=").is_none_or(|c| matches!(c.trim_matches('"'), "utf-8" | "utf8")));
    if known && utf8 {
        return Ok(());
    }
    let message = "请以 Content-Type: application/json（UTF-8）发送请求；文件请通过 /uploads 上传";
    Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "INPUT_CONTENT_TYPE", message))
}

/// Refuses a mutation whose key comes as a header: the key is part of the input, and a header nobody reads would promise what is not kept.
pub fn key_in_input(headers: &HeaderMap, kind: OperationType) -> Result<(), Fault> {
    if kind != OperationType::Mutation || !headers.contains_key("idempotency-key") {
        return Ok(());
    }
    let message = "不支持 Idempotency-Key 请求头，请把幂等键放在 input 的 idempotencyKey 字段中";
    Err(Fault::new(StatusCode::BAD_REQUEST, "INPUT_HEADER", message))
}

/// One operation, parsed and within the limits that need no schema.
#[derive(Debug)]
pub struct Operation {
    pub request: async_graphql::Request,
    pub kind: OperationType,
    /// The first root field: what the operation is called in metrics, since its own name is the caller's invention.
    pub root_field: String,
}

fn bad(message: &'static str) -> Fault {
    Fault::new(StatusCode::BAD_REQUEST, "INPUT_REQUEST", message)
}

/// Reads the body of a request.
pub fn parse(body: &[u8]) -> Result<Operation, Fault> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(parameters)) => operation(parameters),
        Ok(Value::Array(_)) => Err(bad("不支持批量请求，请每次只发送一个操作")),
        Ok(_) => Err(bad("请求体应为一个 JSON 对象，含 query、variables、operationName")),
        Err(_) => Err(bad("请求体不是有效的 JSON，请检查格式与编码")),
    }
}

/// Reads `{query, operationName, variables}`.
pub fn operation(mut parameters: Map<String, Value>) -> Result<Operation, Fault> {
    let query = match parameters.remove("query") {
        Some(Value::String(query)) if !query.trim().is_empty() => query,
        Some(Value::String(_)) | None => return Err(bad("缺少 query，请在请求体中给出 GraphQL 文档")),
        Some(_) => return Err(bad("query 应为字符串")),
    };
    if query.len() > DOCUMENT_LEN_MAX {
        return Err(Fault::new(StatusCode::BAD_REQUEST, "LIMIT_DOCUMENT", "GraphQL 文档超过 16 KiB，请精简查询或改用变量传值"));
    }
    let operation_name = match parameters.remove("operationName") {
        Some(Value::String(name)) => Some(name),
        None | Some(Value::Null) => None,
        Some(_) => return Err(bad("operationName 应为字符串")),
    };
    let variables = match parameters.remove("variables") {
        Some(Value::Object(variables)) => variables,
        None | Some(Value::Null) => Map::new(),
        Some(_) => return Err(bad("variables 应为 JSON 对象")),
    };
    if !matches!(parameters.remove("extensions"), None | Some(Value::Null | Value::Object(_))) {
        return Err(bad("extensions 应为 JSON 对象"));
    }
    let variables = Value::Object(variables);
    if deeper_than(&variables, VARIABLES_DEPTH_MAX) {
        return Err(Fault::new(StatusCode::BAD_REQUEST, "LIMIT_DEPTH", "variables 嵌套过深（最多 8 层），请减少嵌套"));
    }
    let document = document(&query)?;
    let operation = pick(&document, operation_name.as_deref())?;
    let kind = operation.ty;
    // a stream has one subject; the library would mix the answers of several
    if kind == OperationType::Subscription
        && !matches!(&operation.selection_set.node.items[..], [one] if matches!(one.node, Selection::Field(_)))
    {
        return Err(bad("一个订阅须恰好有一个根字段，请分开订阅"));
    }
    let root_field = root_field(&document, &operation.selection_set.node).unwrap_or_default().to_owned();
    let mut request = async_graphql::Request::new(query).variables(Variables::from_json(variables));
    if let Some(name) = operation_name {
        request = request.operation_name(name);
    }
    request.set_parsed_query(ExecutableDocument::clone(&document));
    Ok(Operation { request, kind, root_field })
}

/// The document of this text, within the limits that need no schema.
fn document(text: &str) -> Result<Arc<ExecutableDocument>, Fault> {
    if let Some(known) = DOCUMENTS.get(text) {
        return Ok(known);
    }
    let document = parser::parse_query(text).map_err(|error| {
        let places = ServerError::from(error).locations;
        let place = places.first().map_or_else(String::new, |at| format!("第 {} 行第 {} 列附近", at.line, at.column));
        Fault::new(StatusCode::BAD_REQUEST, "INPUT_SYNTAX", format!("GraphQL 文档有语法错误，请检查{place}")).at(places)
    })?;
    limit_selections(&document)?;
    let document = Arc::new(document);
    DOCUMENTS.insert(text.to_owned(), Arc::clone(&document));
    Ok(document)
}

/// The operation that will run.
fn pick<'a>(document: &'a ExecutableDocument, name: Option<&str>) -> Result<&'a OperationDefinition, Fault> {
    let mut operations = document.operations.iter();
    let found = match name {
        Some(name) => operations.find(|(own, _)| own.is_some_and(|own| own.as_str() == name)),
        None if document.operations.iter().count() == 1 => operations.next(),
        None => None,
    };
    found
        .map(|(_, operation)| &operation.node)
        .ok_or_else(|| Fault::new(StatusCode::BAD_REQUEST, "INPUT_REQUEST", "找不到要执行的操作，请用 operationName 指明文档中的一个操作"))
}

/// The first root field of a selection, through fragments. Ends, since [`limit_selections`] came before.
fn root_field<'a>(document: &'a ExecutableDocument, set: &'a SelectionSet) -> Option<&'a str> {
    set.items.iter().find_map(|item| match &item.node {
        Selection::Field(field) => Some(field.node.name.node.as_str()),
        Selection::InlineFragment(fragment) => root_field(document, &fragment.node.selection_set.node),
        Selection::FragmentSpread(spread) => {
            let fragment = document.fragments.get(&spread.node.fragment_name.node)?;
            root_field(document, &fragment.node.selection_set.node)
        }
    })
}

/// Refuses documents that are small to send and endless to expand. Each fragment is measured once.
fn limit_selections(document: &ExecutableDocument) -> Result<(), Fault> {
    let mut sizes = HashMap::new();
    let mut total = 0_usize;
    for (_, operation) in document.operations.iter() {
        total = total.saturating_add(expanded(document, &operation.node.selection_set.node, &mut sizes)?);
    }
    if total > SELECTIONS_MAX {
        let message = "查询的字段过多（展开后最多 1000 个），请减少字段或分次查询";
        return Err(Fault::new(StatusCode::BAD_REQUEST, "LIMIT_COMPLEXITY", message));
    }
    Ok(())
}

/// The number of selections with all fragments written out. `sizes` holds `None` for a fragment whose measuring has begun.
fn expanded<'a>(
    document: &'a ExecutableDocument,
    set: &'a SelectionSet,
    sizes: &mut HashMap<&'a Name, Option<usize>>,
) -> Result<usize, Fault> {
    let mut total = set.items.len();
    for item in &set.items {
        let inner = match &item.node {
            Selection::Field(field) => expanded(document, &field.node.selection_set.node, sizes)?,
            Selection::InlineFragment(fragment) => expanded(document, &fragment.node.selection_set.node, sizes)?,
            Selection::FragmentSpread(spread) => {
                let name = &spread.node.fragment_name.node;
                match (sizes.get(name), document.fragments.get(name)) {
                    (Some(Some(size)), _) => *size,
                    (Some(None), _) => {
                        let message = "片段不能直接或间接引用自身，请去掉循环引用";
                        return Err(Fault::new(StatusCode::BAD_REQUEST, "INPUT_DOCUMENT", message));
                    }
                    (None, None) => 0,
                    (None, Some(fragment)) => {
                        sizes.insert(name, None);
                        let size = expanded(document, &fragment.node.selection_set.node, sizes)?;
                        sizes.insert(name, Some(size));
                        size
                    }
                }
            }
        };
        total = total.saturating_add(inner);
    }
    Ok(total)
}

/// Whether lists and objects nest deeper than `limit`. The JSON reader itself stops at 128.
fn deeper_than(value: &Value, limit: usize) -> bool {
    match value {
        Value::Array(items) => limit == 0 || items.iter().any(|item| deeper_than(item, limit - 1)),
        Value::Object(fields) => limit == 0 || fields.values().any(|field| deeper_than(field, limit - 1)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn the_answer_takes_the_best_form_the_caller_accepts() {
        let cases = [
            ("application/json", Some(Format::Json)),
            ("application/graphql-response+json", Some(Format::GraphQl)),
            ("application/json, application/graphql-response+json", Some(Format::GraphQl)),
            ("application/json;q=0.9, application/graphql-response+json;q=0.5", Some(Format::Json)),
            ("*/*", Some(Format::GraphQl)),
            ("application/json, */*;q=0.1", Some(Format::Json)),
            ("text/html, application/xhtml+xml", None),
            ("application/json;q=0", None),
            ("", None),
        ];
        for (accept, expected) in cases {
            assert_eq!(negotiate(&with(header::ACCEPT, accept)).ok(), expected, "{accept}");
        }
        assert_eq!(negotiate(&HeaderMap::new()).ok(), Some(Format::GraphQl));
    }

    #[test]
    fn only_json_comes_in() {
        let cases = [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("Application/JSON;charset=\"UTF-8\"", true),
            ("application/graphql-response+json", true),
            ("application/json; charset=gbk", false),
            ("application/graphql", false),
            ("text/plain", false),
            ("multipart/form-data; boundary=x", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ];
        for (given, fine) in cases {
            assert_eq!(content_type(&with(header::CONTENT_TYPE, given)).is_ok(), fine, "{given}");
        }
        assert!(content_type(&HeaderMap::new()).is_err());
    }

    #[test]
    fn a_key_in_a_header_is_refused_where_it_would_count() {
        let headers = with(header::HeaderName::from_static("idempotency-key"), "0190b7c0-0000-7000-8000-000000000001");
        assert_eq!(key_in_input(&headers, OperationType::Mutation).unwrap_err().code, "INPUT_HEADER");
        assert!(key_in_input(&headers, OperationType::Query).is_ok());
        assert!(key_in_input(&HeaderMap::new(), OperationType::Mutation).is_ok());
    }

    #[test]
    fn what_is_not_one_operation_is_refused_with_its_code() {
        let long = format!(r#"{{"query":"{{ {} }}"}}"#, "a ".repeat(9_000));
        let deep = format!(r#"{{"query":"{{ a }}","variables":{{"v":{}{}}}}}"#, "[".repeat(8), "]".repeat(8));
        let stack = format!(r#"{{"query":"{{ a }}","variables":{{"v":{}{}}}}}"#, "[".repeat(9_000), "]".repeat(9_000));
        let fragments: String = (0..40).map(|i| format!("fragment f{i} on Query {{ ...f{n} ...f{n} }} ", n = i + 1)).collect();
        let doubling = format!(r#"{{"query":"{{ ...f0 }} {fragments} fragment f40 on Query {{ a }}"}}"#);
        let aliases = format!(r#"{{"query":"{{ {} }}"}}"#, (0..1_001).map(|i| format!("a{i}: a ")).collect::<String>());
        let nested = format!(r#"{{"query":"{}{}"}}"#, "{ a ".repeat(200), "}".repeat(200));
        let cases = [
            ("", "INPUT_REQUEST"),
            ("{", "INPUT_REQUEST"),
            ("[]", "INPUT_REQUEST"),
            (r#"[{"query":"{ a }"}]"#, "INPUT_REQUEST"),
            ("null", "INPUT_REQUEST"),
            ("{}", "INPUT_REQUEST"),
            (r#"{"query":1}"#, "INPUT_REQUEST"),
            (r#"{"query":"  "}"#, "INPUT_REQUEST"),
            (r#"{"query":"{ a }","variables":[]}"#, "INPUT_REQUEST"),
            (r#"{"query":"{ a }","operationName":1}"#, "INPUT_REQUEST"),
            (r#"{"query":"{ a }","extensions":7}"#, "INPUT_REQUEST"),
            (r#"{"query":"{ a }","operationName":"b"}"#, "INPUT_REQUEST"),
            (r#"{"query":"query a { a } query b { b }"}"#, "INPUT_REQUEST"),
            (r#"{"query":"subscription { a b }"}"#, "INPUT_REQUEST"),
            (r#"{"query":"subscription { ...f } fragment f on Subscription { a }"}"#, "INPUT_REQUEST"),
            (r#"{"query":"{ a "}"#, "INPUT_SYNTAX"),
            (r#"{"query":"{ ...f } fragment f on Query { ...g } fragment g on Query { a ...f }"}"#, "INPUT_DOCUMENT"),
            (&doubling, "LIMIT_COMPLEXITY"),
            (&aliases, "LIMIT_COMPLEXITY"),
            (&nested, "INPUT_SYNTAX"),
            (&long, "LIMIT_DOCUMENT"),
            (&deep, "LIMIT_DEPTH"),
            (&stack, "INPUT_REQUEST"),
        ];
        // and refused again when they are sent again
        for (body, code) in cases.iter().chain(&cases).copied() {
            let fault = parse(body.as_bytes()).expect_err(body);
            assert_eq!((fault.status, fault.code), (StatusCode::BAD_REQUEST, code), "{}", &body[..body.len().min(80)]);
        }
    }

    #[test]
    fn an_operation_is_called_by_its_root_field() {
        let cases = [
            (r#"{"query":"{ viewer { id } }"}"#, OperationType::Query, "viewer"),
            (r#"{"query":"mutation X { pay: orderCreate { order { id } } }","extensions":{}}"#, OperationType::Mutation, "orderCreate"),
            (r#"{"query":"query a { a } query b { b }","operationName":"b","variables":{"x":[[1]]}}"#, OperationType::Query, "b"),
            (r#"{"query":"{ ...f } fragment f on Query { node }","variables":null}"#, OperationType::Query, "node"),
            (r#"{"query":"{ ...nowhere }"}"#, OperationType::Query, ""),
            (r#"{"query":"subscription { orderChanged { id } }"}"#, OperationType::Subscription, "orderChanged"),
        ];
        for (body, kind, root) in cases.iter().chain(&cases).copied() {
            let operation = parse(body.as_bytes()).unwrap();
            assert_eq!((operation.kind, operation.root_field.as_str()), (kind, root), "{body}");
        }
    }
}
