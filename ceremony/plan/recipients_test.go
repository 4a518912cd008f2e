package plan

// Public keys whose identities nobody has. pointAge and pointPlugin are one
// P-256 key.
const (
	safeAge     = "age1gaa6cxnay3dwzuzlx0lewyl50v85260k6pvuaevdtdwrz66xhd6qd3rkcm"
	otherSafe   = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHOhedaXucq0Ez2VQk/6nUMaKf41M84aZ3FOBpU1v3qS"
	pointAge    = "age1tag1qv3cs05h4fqsqcp6l77xa75wp96cdv3fpgslpgun28u6yx4uhqddcwucx0w"
	pointPlugin = "age1yubikey1qv3cs05h4fqsqcp6l77xa75wp96cdv3fpgslpgun28u6yx4uhqddcy78kva"
	pluginAge   = "age1yubikey1q0vkgtmppre5fyymld8zefehh09kkgdr09w8xa8ckkhdrze7w5x47zp3ttr"
)
