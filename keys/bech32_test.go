package keys_test

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"rootceremony/keys"
)

// The vectors of BIP 173 that are of whole bytes, and some of what it refuses.
func TestBech32(t *testing.T) {
	for _, text := range []string{
		"a12uel5l", "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
		"abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w", "?1ezyfcl",
	} {
		if prefix, data, ok := keys.Bech32Decode(text); !ok || keys.Bech32Encode(prefix, data) != text {
			t.Errorf("%s: %q, %x, %v", text, prefix, data, ok)
		}
	}
	for _, text := range []string{
		"", "1", "pzry9x0s0muk", "1pzry9x0s0muk", "x1b4n0q5v", "li1dgmt3", "10a06t8", "1qzzfhee", "A12UEL5L", "a12UEL5L", "A12uel5l", "a12uel5m", "a12uel5",
		"split1cheo2y9e2w", "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3v", "a1qqqqqqqq",
		// The sums of these fit: five bits or seven too many, and a last bit that is set.
		"age1qdd35qf", "age1qqqyst3gn", "age1qpu0j2ex",
	} {
		if prefix, data, ok := keys.Bech32Decode(text); ok {
			t.Errorf("%q is read as %q, %x", text, prefix, data)
		}
	}
}

// What is written is read again, and with any one character changed it is not.
func TestBech32Any(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 0, 1300).Draw(t, "data")
		prefix := rapid.StringMatching(`[!-@\[-~]{1,20}`).Draw(t, "prefix")
		text := keys.Bech32Encode(prefix, data)
		if gotPrefix, got, ok := keys.Bech32Decode(text); !ok || gotPrefix != prefix || !bytes.Equal(got, data) {
			t.Fatalf("%s is read as %q, %x, %v", text, gotPrefix, got, ok)
		}
		at, c := rapid.IntRange(0, len(text)-1).Draw(t, "at"), rapid.StringMatching(`[ -~]`).Draw(t, "character")
		if changed := text[:at] + c + text[at+1:]; changed != text {
			if prefix, got, ok := keys.Bech32Decode(changed); ok {
				t.Fatalf("%s is read as %q, %x", changed, prefix, got)
			}
		}
		if upper := strings.ToUpper(text); upper != text {
			if _, _, ok := keys.Bech32Decode(upper); ok {
				t.Fatalf("%s is read", upper)
			}
		}
	})
}
