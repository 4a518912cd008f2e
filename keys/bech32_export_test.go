package keys

// The text form of age.
var (
	Bech32Encode = bech32Encode
	Bech32Decode = bech32Decode
)
