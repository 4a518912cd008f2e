package yubico

import "testing"

// FuzzParse: what is taken are certificates, one at least.
func FuzzParse(f *testing.F) {
	f.Add(roots)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		certificates, err := Parse(text)
		if err != nil {
			return
		}
		for _, c := range certificates {
			if c == nil || len(c.Raw) == 0 {
				t.Fatalf("%q holds an empty certificate", text)
			}
		}
		if len(certificates) == 0 {
			t.Fatalf("%q is taken, and holds none", text)
		}
	})
}
