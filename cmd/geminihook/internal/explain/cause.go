package explain

// Cause names what went wrong with a delivery, for a program. Hints name it for
// people.
type Cause string

// The causes.
const (
	// In the headers.
	HeaderMissing  Cause = "header missing"
	HeaderRepeated Cause = "header repeated"
	HeaderSplit    Cause = "header split at commas"
	PlusLost       Cause = "plus turned into a space"
	Escaped        Cause = "header URL-encoded"
	Milliseconds   Cause = "timestamp in milliseconds"
	TimestampForm  Cause = "timestamp in another form"
	JWT            Cause = "JWT"
	OtherScheme    Cause = "no v1 or v1a entry"
	Malformed      Cause = "signature malformed"
	Dynamic        Cause = "dynamic webhook, but no key set"
	Static         Cause = "static webhook, but no secret"

	// In the body.
	Empty       Cause = "empty body"
	Truncated   Cause = "truncated body"
	Compressed  Cause = "compressed body"
	Base64      Cause = "body in base64"
	Quoted      Cause = "body as a JSON string"
	BOM         Cause = "byte order mark"
	Characters  Cause = "characters converted"
	Replaced    Cause = "characters replaced"
	NUL         Cause = "NUL at the end"
	Numbers     Cause = "numbers in the JSON"
	WhiteSpace  Cause = "white space at the end"
	LineEndings Cause = "line endings"
	Spacing     Cause = "spacing of the JSON"
	Escapes     Cause = "escapes in the JSON"
	KeyOrder    Cause = "order of keys in the JSON"
	OtherBody   Cause = "body of another delivery"
	NotJSON     Cause = "body is not JSON"
	Changed     Cause = "bytes of the body changed"

	// In the configuration.
	Secret       Cause = "wrong secret, or body replaced"
	OtherWebhook Cause = "from another webhook, or replaced"
	RawSecret    Cause = "secret used as text"
	Forged       Cause = "forged or changed"
	ClockFast    Cause = "clock fast"
	ClockSlow    Cause = "clock slow"
	Replayed     Cause = "replayed"
)
