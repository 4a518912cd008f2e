package keys

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseCheckpoint(t *testing.T) {
	const name = CheckpointOrigin + "00112233445566778899aabbccddeeff"
	want := sha256.Sum256([]byte("a tree"))
	root64 := base64.StdEncoding.EncodeToString(want[:])
	good := name + "\n12\n" + root64 + "\n"
	origin, size, root, err := ParseCheckpoint([]byte(good))
	if err != nil || origin != name || size != 12 || !bytes.Equal(root, want[:]) {
		t.Errorf("%q, %d, %x, %v", origin, size, root, err)
	}
	for _, text := range []string{
		"", "\n", "\n\n\n", good[1:], good[:len(good)-1], good + "\n", good + "an extension\n", "\n" + good,
		strings.ToUpper(name) + "\n12\n" + root64 + "\n",
		CheckpointOrigin + "00112233445566778899AABBCCDDEEFF\n12\n" + root64 + "\n",
		name + "0\n12\n" + root64 + "\n",
		name[:len(name)-2] + "\n12\n" + root64 + "\n",
		"example.com/behind-the-sofa\n12\n" + root64 + "\n",
		name + "\n0\n" + root64 + "\n",
		name + "\n012\n" + root64 + "\n",
		name + "\n+12\n" + root64 + "\n",
		name + "\n-12\n" + root64 + "\n",
		name + "\n12 \n" + root64 + "\n",
		name + "\n9223372036854775808\n" + root64 + "\n",
		name + "\n12\n" + root64[:40] + "\n",
		name + "\n12\n" + strings.TrimRight(root64, "=") + "\n",
		name + "\n12\n" + strings.Repeat("A", 42) + "B=\n", // bits that stand for nothing
		name + "\n12\n" + base64.StdEncoding.EncodeToString(append(want[:], 0)) + "\n",
		name + "\r\n12\r\n" + root64 + "\r\n",
		name + "\n12\n" + fmt.Sprintf("%x", want) + "\n",
		`{"_type":"root"}`,
	} {
		if origin, size, _, err := ParseCheckpoint([]byte(text)); !errors.Is(err, ErrNoCheckpoint) {
			t.Errorf("%q: %s, %d, %v", text, origin, size, err)
		}
	}
}
