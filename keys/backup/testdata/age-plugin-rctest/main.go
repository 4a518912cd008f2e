// Command age-plugin-rctest is an age plugin for tests. Its recipients and
// identities hold the same 16 bytes, with which the file key is XORed: no
// encryption. The identity that ends in 0xff wants a PIN first, and the
// recipient that does wants one too.
package main

import (
	"errors"
	"os"

	"filippo.io/age"
	"filippo.io/age/plugin"
)

type pad struct {
	p   *plugin.Plugin
	key []byte
}

func (x pad) xor(in []byte) ([]byte, error) {
	if x.key[15] == 0xff {
		if pin, err := x.p.RequestValue("PIN, please", true); err != nil || pin != "1234" {
			return nil, errors.New("no PIN was given")
		}
	}
	out := make([]byte, 16)
	for i := range out {
		out[i] = in[i] ^ x.key[i]
	}
	return out, nil
}

func (x pad) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	body, err := x.xor(fileKey)
	return []*age.Stanza{{Type: "rctest", Body: body}}, err
}

func (x pad) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		if s.Type == "rctest" {
			return x.xor(s.Body)
		}
	}
	return nil, age.ErrIncorrectIdentity
}

func main() {
	p, err := plugin.New("rctest")
	if err != nil {
		panic(err)
	}
	p.HandleRecipient(func(data []byte) (age.Recipient, error) { return pad{p, data}, nil })
	p.HandleIdentity(func(data []byte) (age.Identity, error) { return pad{p, data}, nil })
	os.Exit(p.Main())
}
