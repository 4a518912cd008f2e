package virtual

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rootceremony/keys"
)

// testCard is a card with the PIV application selected.
func testCard(t testing.TB, o Options) *Card {
	c, _, err := OpenCard("", 12345678, o)
	if err != nil {
		t.Fatal(err)
	}
	send(t, c, 0x9000, "00a4040005a000000308")
	return c
}

// send gives a command in hex, which must be answered by the status word, and
// returns the data of the answer.
func send(t testing.TB, c *Card, want statusWord, command string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(strings.ReplaceAll(command, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return exchange(t, c, want, raw)
}

func exchange(t testing.TB, c *Card, want statusWord, raw []byte) []byte {
	t.Helper()
	response, err := c.Exchange(bytes.Clone(raw))
	if err != nil {
		t.Fatal(err)
	}
	n := len(response) - 2
	if got := statusWord(binary.BigEndian.Uint16(response[n:])); got != want {
		t.Fatalf("% x: status word %04x, wanted %04x", raw[:min(8, len(raw))], uint16(got), uint16(want))
	}
	return response[:n]
}

// prove proves the management key mutually, with the factory's key.
func prove(t testing.TB, c *Card) {
	t.Helper()
	m := c.applet.state.Management
	n := blockSize(m.Algorithm)
	head := hex.EncodeToString([]byte{0x00, 0x87, m.Algorithm, 0x9b})
	witness := send(t, c, 0x9000, head+"04 7c028000")[4:]
	// ECB of a block that the card encrypts again gives the plain witness back
	// only by decryption; the test knows it from the card.
	plain := c.applet.witness
	if again, _ := m.encrypt(plain); !bytes.Equal(again, witness) {
		t.Fatal("the witness is not encrypted")
	}
	challenge := bytes.Repeat([]byte{7}, n)
	template := appendTLV(appendTLV(nil, 0x80, plain), 0x81, challenge)
	data := appendTLV(nil, 0x7c, template)
	answer := exchange(t, c, 0x9000, append(append([]byte{0x00, 0x87, m.Algorithm, 0x9b, byte(len(data))}, data...), 0))
	if want, _ := m.encrypt(challenge); !bytes.Equal(answer, appendTLV(nil, 0x7c, appendTLV(nil, 0x82, want))) {
		t.Fatalf("the card's answer is % x", answer)
	}
}

const verifyDefault = "00200080 08 313233343536ffff"

func TestSelect(t *testing.T) {
	c := testCard(t, Options{})
	c.PowerOff()
	send(t, c, swInstruction, "00fd0000") // nothing is selected
	template := send(t, c, 0x9000, "00a40400 09 a00000030800001000")
	if want := "61114f0600001000010079074f05a000000308"; hex.EncodeToString(template) != want {
		t.Errorf("template %x", template)
	}
	if version := send(t, c, 0x9000, "00fd000000"); !bytes.Equal(version, []byte{5, 7, 4}) {
		t.Errorf("version % x", version)
	}
	if serial := send(t, c, 0x9000, "00f8000000"); binary.BigEndian.Uint32(serial) != 12345678 {
		t.Errorf("serial % x", serial)
	}
	send(t, c, 0x9000, verifyDefault)
	send(t, c, swNotFound, "00a40400 06 d27600012401") // OpenPGP
	send(t, c, 0x9000, "00200080")                     // still verified
	send(t, c, 0x9000, "00a4040008a000000527471117")
	info := send(t, c, 0x9000, "001d000000")
	fields, ok := readTLVs(info[1:])
	if serial, _ := lookUp(fields, 0x02); !ok || int(info[0]) != len(info)-1 || binary.BigEndian.Uint32(serial) != 12345678 {
		t.Errorf("device information % x", info)
	}
	if form, _ := lookUp(fields, 0x04); !bytes.Equal(form, []byte{3}) {
		t.Errorf("form factor % x", form)
	}
	send(t, c, swInstruction, "00fd0000")
	send(t, c, 0x9000, "00a4040005a000000308")
	send(t, c, 0x63c3, "00200080") // another application was selected
	for _, bad := range []string{"00", "00a404", "80fd0000", "00a40400 ff a0", "00a4040005a000000308 00 00"} {
		want := swWrongLength
		if strings.HasPrefix(bad, "80") {
			want = swClass
		}
		send(t, c, want, bad)
	}
	c.DisablePIV()
	send(t, c, swNotFound, "00a4040005a000000308")
}

// Every form of management key is proved mutually and by challenge.
func TestManagementKeys(t *testing.T) {
	for _, algorithm := range []byte{algorithm3DES, algorithmAES128, algorithmAES192, algorithmAES256} {
		c := testCard(t, Options{})
		prove(t, c)
		key := bytes.Repeat([]byte{0x11, 0x22, 0x33, 0x44}, managementAlgorithms[algorithm]/4)
		data := append([]byte{algorithm, 0x9b, byte(len(key))}, key...)
		exchange(t, c, 0x9000, append([]byte{0, 0xff, 0xff, 0xff, byte(len(data))}, data...))
		c.PowerOff()
		send(t, c, 0x9000, "00a4040005a000000308")
		prove(t, c)
		if got := send(t, c, 0x9000, "00f7009b00"); hex.EncodeToString(got) != hex.EncodeToString([]byte{1, 1, algorithm, 2, 2, 0, 1, 5, 1, 0}) {
			t.Errorf("metadata % x", got)
		}
		head := hex.EncodeToString([]byte{0x00, 0x87, algorithm, 0x9b})
		challenge := send(t, c, 0x9000, head+"04 7c028100")[4:]
		response, err := c.applet.state.Management.encrypt(challenge)
		if err != nil {
			t.Fatal(err)
		}
		answer := appendTLV(nil, 0x7c, appendTLV(nil, 0x82, response))
		exchange(t, c, 0x9000, append([]byte{0, 0x87, algorithm, 0x9b, byte(len(answer))}, answer...))
		exchange(t, c, swConditions, append([]byte{0, 0x87, algorithm, 0x9b, byte(len(answer))}, answer...))
		send(t, c, swWrongParameters, "0087119b04 7c028000") // another algorithm
	}
	old := testCard(t, Options{Firmware: keys.Firmware{Major: 5, Minor: 2}})
	prove(t, old)
	send(t, old, swWrongData, "00ffffff23 0c9b20"+strings.Repeat("ab", 32)) // AES came with 5.4
	send(t, old, swInstruction, "00f7009b00")                               // GET METADATA with 5.3
	send(t, old, swWrongData, "0047009c 05 ac03 8001e0")                    // ed25519 with 5.7
}

// generated makes a key in 9c and returns its public key's bytes.
func generated(t testing.TB, c *Card, template string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(template)
	if err != nil {
		t.Fatal(err)
	}
	prove(t, c)
	data := appendTLV(nil, 0xac, raw)
	answer := exchange(t, c, 0x9000, append([]byte{0, 0x47, 0, 0x9c, byte(len(data))}, data...))
	tag, inner, rest, ok := readTLV(answer)
	tag2, public, rest2, ok2 := readTLV(inner)
	if !ok || !ok2 || tag != 0x7f49 || tag2 != 0x86 || len(rest)+len(rest2) > 0 {
		t.Fatalf("public key % x", answer)
	}
	return public
}

// chained gives a command with its data in fragments, and returns the last
// answer, read by GET RESPONSE to its end.
func chained(t testing.TB, c *Card, want statusWord, head [3]byte, data []byte, size int) []byte {
	t.Helper()
	for len(data) > size {
		exchange(t, c, 0x9000, append([]byte{0x10, head[0], head[1], head[2], byte(size)}, data[:size]...))
		data = data[size:]
	}
	return exchange(t, c, want, append([]byte{0, head[0], head[1], head[2], byte(len(data))}, data...))
}

// 3,062 bytes are signed, whatever the fragments, and 3,063 are not; what was
// refused leaves nothing behind.
func TestChainedMessageLimit(t *testing.T) {
	c := testCard(t, Options{Button: ButtonAuto})
	public := ed25519.PublicKey(generated(t, c, "8001e0aa0103ab0102"))
	head := [3]byte{0x87, 0xe0, 0x9c}
	sign := func(n int) []byte {
		return appendTLV(nil, 0x7c, append([]byte{0x82, 0}, appendTLV(nil, 0x81, make([]byte, n))...))
	}
	check := func(answer []byte, n int) {
		t.Helper()
		if len(answer) != 68 || !ed25519.Verify(public, make([]byte, n), answer[4:]) {
			t.Errorf("%d bytes: % x", n, answer)
		}
	}
	for _, size := range []int{255, 254, 128, 3} {
		send(t, c, 0x9000, verifyDefault)
		check(chained(t, c, 0x9000, head, sign(3062), size), 3062)
		send(t, c, 0x9000, verifyDefault)
		chained(t, c, swWrongLength, head, sign(3063), size)
		check(chained(t, c, 0x9000, head, sign(5), size), 5)
	}
	// The same in one extended command.
	extended := func(data []byte) []byte {
		command := []byte{0, 0x87, 0xe0, 0x9c, 0, byte(len(data) >> 8), byte(len(data))}
		return append(append(command, data...), 0, 0)
	}
	send(t, c, 0x9000, verifyDefault)
	check(exchange(t, c, 0x9000, extended(sign(3062))), 3062)
	send(t, c, 0x9000, verifyDefault)
	exchange(t, c, swWrongLength, extended(sign(3063)))

	// A chain that another command interrupts is forgotten.
	exchange(t, c, 0x9000, append([]byte{0x10, 0x87, 0xe0, 0x9c, 100}, make([]byte, 100)...))
	send(t, c, 0x9000, verifyDefault)
	check(chained(t, c, 0x9000, head, sign(7), 255), 7)
	send(t, c, swSecurityStatus, "0087e09c 08 7c06 8200 8102 6869") // a PIN is good for one
}

// Short answers come in parts.
func TestGetResponse(t *testing.T) {
	c := testCard(t, Options{})
	get := "00cb3fff 05 5c03 5fff01"
	whole := send(t, c, 0x9000, "00cb3fff 000005 5c03 5fff01 0000")
	if len(whole) < 300 {
		t.Fatalf("%d bytes", len(whole))
	}
	left := len(whole) - 256
	first := send(t, c, 0x6100|statusWord(min(left, 0x100)&0xff), get+"00")
	got := bytes.Clone(first)
	for len(got) < len(whole) {
		left = len(whole) - len(got) - 100
		want := statusWord(0x9000)
		if left > 0 {
			want = 0x6100 | statusWord(min(left, 0x100)&0xff)
		}
		got = append(got, send(t, c, want, "00c0000064")...)
	}
	if !bytes.Equal(got, whole) {
		t.Errorf("% x", got)
	}
	send(t, c, swConditions, "00c0000000")
	fields, _ := readTLVs(whole)
	value, _ := lookUp(fields, 0x53)
	fields, _ = readTLVs(value)
	der, _ := lookUp(fields, 0x70)
	if device, err := x509.ParseCertificate(der); err != nil || device.Subject.CommonName != "Yubico PIV Attestation" {
		t.Errorf("%v, %v", device, err)
	}
}

func TestObjects(t *testing.T) {
	c := testCard(t, Options{})
	send(t, c, swNotFound, "00cb3fff05 5c035fc10200")
	put := "00db3fff0a 5c035fc102 5303616263"
	send(t, c, swSecurityStatus, put)
	prove(t, c)
	send(t, c, 0x9000, put)
	if got := send(t, c, 0x9000, "00cb3fff05 5c035fc10200"); string(got) != "\x53\x03abc" {
		t.Errorf("% x", got)
	}
	send(t, c, 0x9000, "00db3fff0a 5c035fc109 5303616263")
	send(t, c, swSecurityStatus, "00cb3fff05 5c035fc10900")
	send(t, c, 0x9000, verifyDefault)
	send(t, c, 0x9000, "00cb3fff05 5c035fc10900")
	send(t, c, 0x9000, "00db3fff07 5c035fc102 5300")
	send(t, c, swNotFound, "00cb3fff05 5c035fc10200")
	send(t, c, 0x9000, "00cb3fff03 5c017e00")
	send(t, c, swWrongData, "00db3fff0a 5c035fff01 5303616263")
}

func TestMoveAndDelete(t *testing.T) {
	c := testCard(t, Options{})
	public := generated(t, c, "800111")
	metadata := send(t, c, 0x9000, "00f7009c00")
	if !bytes.HasPrefix(metadata, []byte{1, 1, 0x11, 2, 2, 3, 1, 3, 1, 1}) || !bytes.HasSuffix(metadata, public) {
		t.Errorf("metadata % x", metadata)
	}
	send(t, c, 0x9000, "00f6839c")
	send(t, c, swReferenceNotFound, "00f7009c00")
	if again := send(t, c, 0x9000, "00f7008300"); !bytes.Equal(again, metadata) {
		t.Errorf("moved: % x", again)
	}
	send(t, c, swReferenceNotFound, "00f6849c")
	send(t, c, swWrongParameters, "00f68383")
	send(t, c, 0x9000, "00f6ff83")
	send(t, c, swReferenceNotFound, "00f7008300")
	if len(c.applet.state.Slots) != 0 {
		t.Errorf("%+v", c.applet.state.Slots)
	}
}

// X25519: imported, used, not attested.
func TestX25519(t *testing.T) {
	c := testCard(t, Options{})
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	prove(t, c)
	exchange(t, c, 0x9000, append([]byte{0, 0xfe, 0xe1, 0x9d, 34}, appendTLV(nil, 0x08, private.Bytes())...))
	peer, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	want, err := private.ECDH(peer.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	data := appendTLV(nil, 0x7c, append([]byte{0x82, 0}, appendTLV(nil, 0x85, peer.PublicKey().Bytes())...))
	command := append([]byte{0, 0x87, 0xe1, 0x9d, byte(len(data))}, data...)
	exchange(t, c, swSecurityStatus, command)
	send(t, c, 0x9000, verifyDefault)
	if got := exchange(t, c, 0x9000, command); !bytes.Equal(got[4:], want) {
		t.Errorf("% x", got)
	}
	send(t, c, swWrongData, "00f99d0000")
	i, err := c.applet.info()
	if k, _ := i.Key(0x9d); err != nil || k.Public.Algorithm != "x25519" || k.Generated {
		t.Errorf("%+v, %v", i, err)
	}
}

// A faulty state file is no reason to believe that something was done.
func TestCardSaysWhatCannotBeKept(t *testing.T) {
	c := testCard(t, Options{})
	full := errors.New("no space left")
	c.applet.save = func(*state) error { return full }
	command, _ := hex.DecodeString(strings.ReplaceAll(verifyDefault, " ", ""))
	response, err := c.Exchange(command)
	if err != full || !bytes.Equal(response, []byte{0x65, 0x81}) {
		t.Errorf("% x, %v", response, err)
	}
}

func TestOpenCard(t *testing.T) {
	path := filepath.Join(t.TempDir(), "any name")
	c, root, err := OpenCard(path, 7, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenCard(path, 0, Options{}); err == nil || !strings.Contains(err.Error(), "in use by another program") {
		t.Errorf("opened twice: %v", err)
	}
	send(t, c, 0x9000, "00a4040005a000000308")
	send(t, c, 0x63c2, "00200080 08 3131313131 31ffff")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenCard(path, 8, Options{}); err == nil || !strings.Contains(err.Error(), "holds token 7") {
		t.Errorf("another serial: %v", err)
	}
	c, again, err := OpenCard(path, 0, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !again.Equal(root) || c.Serial() != 7 {
		t.Errorf("serial %d, another root: %v", c.Serial(), !again.Equal(root))
	}
	send(t, c, 0x9000, "00a4040005a000000308")
	send(t, c, 0x63c2, "00200080")
}

func TestParseFault(t *testing.T) {
	for text, want := range map[string]Fault{
		"remove@7":       {kind: faultRemove, at: 7},
		"remove-after@1": {kind: faultRemoveAfter, at: 1},
		"hang@12":        {kind: faultHang, at: 12},
		"endless@3":      {kind: faultEndless, at: 3},
		"sw@7=6F00":      {kind: faultStatus, at: 7, sw: 0x6f00},
	} {
		t.Run(text, func(t *testing.T) {
			if got, err := ParseFault(text); err != nil || got != want {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	for _, text := range []string{"", "remove", "remove@", "remove@0", "remove@-1", "remove@7x", "remove@7 8", "sw@7", "sw@7=", "sw@7=6f000", "burn@7", "@7"} {
		if got, err := ParseFault(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// plugged is a card in a reader that the test is.
func plugged(t *testing.T, c *Card) (reader net.Conn, ended <-chan error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Plug(conn, func() {}) }()
	if reader, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	return reader, done
}

// talk says something to a plugged card, and returns its answer.
func talk(t *testing.T, reader net.Conn, message string) []byte {
	t.Helper()
	if err := say(reader, []byte(message)); err != nil {
		t.Fatal(err)
	}
	var head [2]byte
	_ = reader.SetReadDeadline(time.Now().Add(2 * time.Minute))
	if _, err := reader.Read(head[:]); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := reader.Read(answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestPlug(t *testing.T) {
	c := testCard(t, Options{})
	reader, ended := plugged(t, c)
	if err := say(reader, []byte{vpcdOn}); err != nil {
		t.Fatal(err)
	}
	if got := talk(t, reader, "\x04"); !bytes.Equal(got, atr) {
		t.Errorf("ATR % x", got)
	}
	if got := talk(t, reader, "\x00\xa4\x04\x00\x05\xa0\x00\x00\x03\x08"); !bytes.HasSuffix(got, []byte{0x90, 0}) {
		t.Errorf("select: % x", got)
	}
	if got := talk(t, reader, "\x00\xfd\x00\x00\x00"); !bytes.Equal(got, []byte{5, 7, 4, 0x90, 0}) {
		t.Errorf("version: % x", got)
	}
	if err := say(reader, []byte{vpcdReset}); err != nil {
		t.Fatal(err)
	}
	if got := talk(t, reader, "\x00\xfd\x00\x00\x00"); !bytes.Equal(got, []byte{0x6d, 0}) {
		t.Errorf("version after a reset: % x", got)
	}
	if c.APDUs() != 3 {
		t.Errorf("%d commands", c.APDUs())
	}
	c.Plan(Fault{kind: faultStatus, at: 4, sw: 0x6f00})
	c.Plan(Fault{kind: faultRemove, at: 5})
	if got := talk(t, reader, "\x00\xfd\x00\x00\x00"); !bytes.Equal(got, []byte{0x6f, 0}) {
		t.Errorf("planned status word: % x", got)
	}
	if err := say(reader, []byte("\x00\xfd\x00\x00\x00")); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != ErrPulled {
		t.Errorf("planned removal: %v", err)
	}
	reader, ended = plugged(t, c)
	_ = reader.Close()
	if err := <-ended; err != nil {
		t.Errorf("the reader went: %v", err)
	}
}

// A touch wait ends when the card is pulled out: the command is not done.
func TestTouchWaitEndsWithTheReader(t *testing.T) {
	c := testCard(t, Options{})
	generated(t, c, "8001e0aa0101ab0102")
	reader, ended := plugged(t, c)
	talk(t, reader, "\x00\xa4\x04\x00\x05\xa0\x00\x00\x03\x08")
	if err := say(reader, []byte("\x00\x87\xe0\x9c\x08\x7c\x06\x82\x00\x81\x02hi")); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(2 * time.Minute); !c.Waiting(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not wait")
		}
	}
	_ = reader.Close()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(2 * time.Minute):
		t.Error("it waits on")
	}
}

// Whatever a reader says, the card answers with a status word, and its state
// stays one that can be read back.
func FuzzExchange(f *testing.F) {
	for _, seed := range []string{"", "00a4040005a000000308", "00cb3fff055c035fff0100", "0087e09c087c06820081026869", "10870a9b047c028000", "0047009c05ac038001e0", "00f7009b00", "00c0000000", "00ffffff"} {
		raw, err := hex.DecodeString(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	first := testCard(f, Options{Button: ButtonAuto})
	f.Fuzz(func(t *testing.T, raw []byte) {
		begin := *first.applet.state
		c := &Card{applet: newApplet(&begin, func(st *state) error {
			file, err := encode(tokenMagic, st)
			if err != nil {
				return err
			}
			again := &state{}
			if err := decode(file, tokenMagic, again); err != nil {
				return err
			}
			return again.check()
		})}
		exchange(t, c, 0x9000, []byte("\x00\xa4\x04\x00\x05\xa0\x00\x00\x03\x08"))
		c.applet.managed, c.applet.pinVerified, c.applet.pinJust = true, true, true
		for range 2 {
			response, err := c.Exchange(bytes.Clone(raw))
			if err != nil || len(response) < 2 || len(response) > 70000 {
				t.Fatalf("% x, %v", response, err)
			}
		}
	})
}

// Wrong PINs and PUKs are counted, and nothing else is: neither a question for
// the tries that are left nor the right ones.
func TestWrong(t *testing.T) {
	c := testCard(t, Options{})
	send(t, c, 0x63c3, "00200080")
	send(t, c, 0x9000, "0020008008 313233343536ffff")
	if c.Wrong() != 0 {
		t.Errorf("%d wrong", c.Wrong())
	}
	send(t, c, 0x63c2, "0020008008 393233343536ffff")
	send(t, c, 0x9000, "0020008008 313233343536ffff")
	send(t, c, 0x63c2, "0024008110 3932333435363738 3132333435363738")
	if c.Wrong() != 2 {
		t.Errorf("%d wrong, not 2", c.Wrong())
	}
}
