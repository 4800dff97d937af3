//! The pages, embedded: `cashier.html` and `review.html` with their hashed assets, as Vite built them into `api/web/dist`.

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::problem::Problem;

/// Hashed names never change their content.
const FOREVER: &str = "public, max-age=31536000, immutable";

#[derive(RustEmbed)]
#[folder = "web/dist/"]
struct Dist;

/// A page by its file name, never kept by a browser: it names the hashed assets of this build.
pub fn page(name: &str, status: StatusCode) -> Response {
    let Some(file) = Dist::get(name) else {
        tracing::error!(page = name, "the pages were not built before the program; run make");
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "INTERNAL", "页面尚未构建，请先运行 make 再启动").into_response();
    };
    let mut response = answer("text/html; charset=utf-8", "no-cache", file);
    *response.status_mut() = status;
    response
}

/// `GET /review`.
pub async fn review() -> Response {
    page("review.html", StatusCode::OK)
}

/// `GET /assets/{*path}`.
pub async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    let name = format!("assets/{path}");
    let (Some(file), Some(kind)) = (Dist::get(&name), content_type(&name)) else {
        return Problem::not_found("找不到该文件，请刷新页面").into_response();
    };
    let tag = format!("\"{}\"", hex::encode(&file.metadata.sha256_hash()[..16]));
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|given| given.as_bytes() == tag.as_bytes());
    // GraphiQL's files keep their makers' names
    let keep = if path.starts_with("graphiql/") { "no-cache" } else { FOREVER };
    let mut response = if known { StatusCode::NOT_MODIFIED.into_response() } else { answer(kind, keep, file) };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn answer(kind: &'static str, keep: &'static str, file: EmbeddedFile) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, keep)];
    (headers, Body::from(file.data)).into_response()
}

/// The types Vite writes. Anything else is not served.
fn content_type(name: &str) -> Option<&'static str> {
    Some(match name.rsplit_once('.')?.1 {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "ico" => "image/x-icon",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_not_an_asset_is_not_found() {
        for path in ["nothing.js", "../cashier.html", "%2e%2e/cashier.html", ""] {
            assert_eq!(asset(Path(path.to_owned()), HeaderMap::new()).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[tokio::test]
    async fn an_asset_is_kept_for_good_and_known_by_its_tag() {
        let Some(name) =
            Dist::iter().find(|name| name.starts_with("assets/") && !name.starts_with("assets/graphiql/") && content_type(name).is_some())
        else {
            return;
        };
        let path = || Path(name.trim_start_matches("assets/").to_owned());
        let first = asset(path(), HeaderMap::new()).await;
        assert_eq!(first.headers()[header::CACHE_CONTROL], FOREVER);
        let tag = first.headers()[header::ETAG].clone();
        let again = asset(path(), HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)])).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }
}
