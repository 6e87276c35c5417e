use super::*;

#[tokio::test]
async fn a_link_becomes_a_session_once_and_its_cookie_is_strict() {
    let server = Service::plain().await;
    let path = format!("/admin?code={}", server.admin.new_link());
    let preview = server.send("HEAD", &path, &[], "").await;
    assert_eq!(preview.status, 503);
    assert_eq!(server.get(&path, &[("Sec-Purpose", "prefetch;prerender")]).await.status, 503);
    let first = server.get(&path, &[]).await;
    assert_eq!((first.status, first.header("location")), (303, Some("/")));
    let cookie = first.header("set-cookie").unwrap();
    for part in ["roomd_session=", "HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "{cookie}");
    let second = server.get(&path, &[]).await;
    assert_eq!(second.status, 401);
    assert!(second.text().contains("roomctl admin-link"));
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(server.get("/box/state", &[("Cookie", cookie)]).await.status, 200);
    assert_eq!(server.get("/metrics", &[("Cookie", cookie)]).await.status, 200);
    assert_eq!(server.get("/box/state", &[("Cookie", "roomd_session=invented")]).await.status, 401);
}

#[tokio::test]
async fn the_printed_links_work() {
    let server = Service::plain().await;
    let links = server.http.admin_links();
    let base = format!("http://{}", server.http.addresses.http.unwrap());
    assert_eq!(server.get(links[0].strip_prefix(&base).unwrap(), &[]).await.status, 303);
}

#[tokio::test]
async fn everything_of_the_box_needs_a_session_and_says_how_to_get_one() {
    let server = Service::plain().await;
    for path in ["info", "state", "events", "picture.jpg", "recordings", "recordings/r1/file"] {
        let answer = server.get(&format!("/box/{path}"), &[]).await;
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains("roomctl admin-link"));
    }
    for path in ["cmd/ping", "guest-link", "watch-token"] {
        assert_eq!(server.send("POST", &format!("/box/{path}"), &[JSON], "{}").await.status, 401, "{path}");
    }
    assert_eq!(server.get("/metrics", &[]).await.status, 401);
}

#[tokio::test]
async fn tokens_with_the_right_work_and_others_are_told_why_not() {
    let server = Service::plain().await;
    let admin = server.token(Grant { room_admin: true, ..Grant::default() });
    let metrics = server.get("/metrics", &[("Authorization", &format!("Bearer {admin}"))]).await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().contains("roomd_up 0"), "{}", metrics.text());
    assert_eq!(server.get("/box/state", &[("Authorization", &admin)]).await.status, 200);
    assert_eq!(server.get(&format!("/box/state?access_token={admin}"), &[]).await.status, 200);
    let guest = Grant { identity: "a".into(), room: "lobby".into(), room_join: true, ..Grant::default() };
    let moderator = Grant { room_admin: true, ..guest.clone() };
    for grant in [guest, moderator] {
        let answer = server.get("/box/state", &[("Authorization", &server.token(grant))]).await;
        assert_eq!(answer.status, 403);
    }
    let old = server.keys.mint(&Grant::default(), Duration::from_secs(1), std::time::SystemTime::UNIX_EPOCH);
    let unsigned = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJrIn0.";
    for (token, word) in [(old.as_str(), "expired"), (unsigned, "unsigned"), ("x", "JWT")] {
        let answer = server.get("/box/state", &[("Authorization", token)]).await;
        assert_eq!(answer.status, 401);
        assert!(answer.text().contains(word) && !answer.text().contains("01234567890"), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_command_goes_in_and_its_reply_comes_back_with_the_right_status() {
    let mut server = Service::plain().await;
    server.answer_orders();
    let cookie = server.session().await;
    let cookie = ("Cookie", cookie.as_str());
    let answer = server.send("POST", "/box/cmd/microphone.set", &[cookie, JSON], r#"{"muted":true}"#).await;
    assert_eq!(answer.status, 200);
    let reply = answer.json();
    assert_eq!((&reply["message"], &reply["code"]), (&"microphone.set".into(), &"ok".into()));
    assert_eq!(reply["data"], serde_json::json!({"issuer": "admin", "local": true}));
    for (name, body, status) in
        [("room.join", "{}", 400), ("room.join", "not json", 400), ("dance", "{}", 501)]
    {
        let answer = server.send("POST", &format!("/box/cmd/{name}"), &[cookie, JSON], body).await;
        assert_eq!((answer.status, &answer.json()["ok"]), (status, &false.into()), "{name} {body}");
    }
    assert_eq!(server.get("/box/cmd/ping", &[cookie]).await.status, 405);
    let large = "x".repeat(17 * 1024);
    assert_eq!(server.send("POST", "/box/cmd/ping", &[cookie, JSON], &large).await.status, 413);
}

#[tokio::test]
async fn another_sites_page_cannot_give_orders_with_the_cookie() {
    let mut server = Service::plain().await;
    server.answer_orders();
    let cookie = server.session().await;
    let cookie = ("Cookie", cookie.as_str());
    let text = ("Content-Type", "text/plain");
    assert_eq!(server.send("POST", "/box/cmd/ping", &[cookie, text], "{}").await.status, 415);
    for foreign in [("Origin", "http://evil.example"), ("Origin", "null"), ("Sec-Fetch-Site", "cross-site")] {
        let answer = server.send("POST", "/box/cmd/ping", &[cookie, JSON, foreign], "{}").await;
        assert_eq!(answer.status, 403, "{foreign:?}");
    }
    let own = [cookie, JSON, ("Origin", "http://box:1"), ("Sec-Fetch-Site", "same-origin")];
    assert_eq!(server.send("POST", "/box/cmd/ping", &own, "{}").await.status, 200);
}

#[tokio::test]
async fn guest_links_and_watch_tokens_hold_the_grants_that_they_should() {
    let server = Service::plain().await;
    let cookie = server.session().await;
    let cookie = ("Cookie", cookie.as_str());
    let body = r#"{"room":"the lobby","name":"Ann"}"#;
    let made = server.send("POST", "/box/guest-link", &[cookie, JSON], body).await.json();
    let path = made["path"].as_str().unwrap();
    let token = path.strip_prefix("/rooms/the%20lobby#t=").unwrap();
    assert_eq!(made["url"], format!("http://box:1{path}"));
    assert!(made["expires_at"].as_str().unwrap().ends_with('Z'));
    let grant = server.keys.verify(token, clock::wall()).unwrap();
    assert!(
        grant.may_join("the lobby") && !grant.may_join("attic") && grant.can_publish && !grant.room_admin
    );
    let body = r#"{"room":"lobby","may":"moderate"}"#;
    let made = server.send("POST", "/box/guest-link", &[cookie, JSON], body).await.json();
    let token = made["path"].as_str().unwrap().strip_prefix("/rooms/lobby#t=").unwrap();
    let grant = server.keys.verify(token, clock::wall()).unwrap();
    assert!(grant.may_moderate("lobby") && !grant.may_change_box());
    let body = r#"{"room":"lobby"}"#;
    let made = server.send("POST", "/box/watch-token", &[cookie, JSON], body).await.json();
    let grant = server.keys.verify(made["token"].as_str().unwrap(), clock::wall()).unwrap();
    assert!(grant.hidden && grant.can_subscribe && !grant.can_publish && !grant.can_publish_data);
    assert!(grant.may_join("lobby") && made["room"] == "lobby");
    for bad in
        ["{}", r#"{"room":""}"#, r#"{"room":"a/b"}"#, r#"{"room":"a","x":1}"#, r#"{"room":"a","may":"rule"}"#]
    {
        assert_eq!(server.send("POST", "/box/guest-link", &[cookie, JSON], bad).await.status, 400, "{bad}");
    }
}
