package backup

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/mlkem"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/plugin"
	"filippo.io/age/tag"
	"pgregory.net/rapid"

	"rootceremony/keys"
)

// ageReads is age's own opinion of a recipient's text: which kind it is, and
// the sentence it gets where age doesn't read it or doesn't encrypt to it.
func ageReads(text string) (kind keys.RecipientKind, refusal string) {
	const notWhole = "is no whole age recipient: characters are missing, added or changed (hint: copy it again, all of it)"
	var r age.Recipient
	var err error
	switch {
	case strings.HasPrefix(text, "ssh-ed25519 "):
		kind = keys.RecipientSSH
		if !sshWhole.MatchString(text) {
			return kind, "is no whole ssh-ed25519 key: characters are missing, added or changed (hint: copy the whole line of the .pub file)"
		}
		if r, err = agessh.ParseRecipient(text); err != nil {
			return kind, "is an ssh-ed25519 key that is no point on the curve (hint: copy the whole line of the .pub file)"
		}
	case strings.HasPrefix(text, "age1tag1"):
		kind = keys.RecipientToken
		r, err = tag.ParseRecipient(text)
	case strings.HasPrefix(text, "age1tagpq1"):
		kind = keys.RecipientHybridToken
		r, err = tag.ParseRecipient(text)
	case strings.HasPrefix(text, "age1pq1"):
		kind = keys.RecipientHybrid
		r, err = age.ParseHybridRecipient(text)
	case strings.Count(text, "1") > 1:
		if _, err = plugin.NewRecipient(text, silent); err == nil {
			return keys.RecipientPlugin, "" // to encrypt takes its program
		}
	default:
		kind = keys.RecipientX25519
		r, err = age.ParseX25519Recipient(text)
	}
	if err != nil {
		return kind, notWhole
	}
	if _, err := r.Wrap(make([]byte, 16)); err != nil {
		return kind, "is a key that cannot be encrypted to: " + err.Error()
	}
	return kind, ""
}

// sshWhole is an ssh-ed25519 line whose key has all of its 51 bytes.
var sshWhole = regexp.MustCompile(`^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-P][A-Za-z0-9+/]{42}( |$)`)

// secretWord is in no recipient that is read here, though age would let a plugin
// be called so.
var secretWord = regexp.MustCompile(`(?i)AGE-SECRET-KEY-|AGE-PLUGIN-|PRIVATE KEY`)

// sameOpinion holds keys.ParseRecipient to what age makes of a text.
func sameOpinion(t interface{ Errorf(string, ...any) }, text string) (refused bool) {
	kind, want := ageReads(text)
	r, err := keys.ParseRecipient("Dana", text)
	switch {
	case err == nil && want == "":
		if comment := strings.HasPrefix(text, r.Text+" "); r.Kind != kind || r.Text != text && !(kind == keys.RecipientSSH && comment) {
			t.Errorf("%s, of the kind %s, is read as %+v", text, kind, r)
		}
	case err == nil:
		t.Errorf("%s is read as %+v, and by age: %s", text, r, want)
	case want == "":
		t.Errorf("age reads %s, and here it %v", text, err)
	case strings.Contains(err.Error(), "more than one word"), strings.Contains(err.Error(), "mixes upper and lower case"), strings.Contains(err.Error(), "another character that no recipient has"):
		// What was seen before the key was looked at.
	case err.Error() != `recipient "Dana" `+want:
		t.Errorf("%s: %v\nnot: %s", text, err, want)
	}
	return err != nil
}

// bech32 writes values of 5 bits behind a prefix, with the checksum. (BIP 173;
// age's own does not let itself be used, and would write no padding but the
// right one.)
func bech32(prefix string, values []byte) string {
	const letters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	polymod := func(values []byte) uint32 {
		chk := uint32(1)
		for _, v := range values {
			b := chk >> 25
			chk = (chk&0x1ffffff)<<5 ^ uint32(v)
			for i, g := range []uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
				chk ^= g * (b >> i & 1)
			}
		}
		return chk
	}
	var all []byte
	for _, c := range []byte(prefix) {
		all = append(all, c>>5)
	}
	all = append(all, 0)
	for _, c := range []byte(prefix) {
		all = append(all, c&31)
	}
	sum := polymod(slices.Concat(all, values, make([]byte, 6))) ^ 1
	var text strings.Builder
	text.WriteString(prefix + "1")
	for _, v := range values {
		text.WriteByte(letters[v])
	}
	for i := range 6 {
		text.WriteByte(letters[sum>>(5*(5-i))&31])
	}
	return text.String()
}

// fives are bytes as values of 5 bits, with zeros at the end.
func fives(data []byte) (values []byte) {
	for i := range (8*len(data) + 4) / 5 {
		var v byte
		for bit := 5 * i; bit < 5*i+5; bit++ {
			v <<= 1
			if bit/8 < len(data) {
				v |= data[bit/8] >> (7 - bit%8) & 1
			}
		}
		values = append(values, v)
	}
	return values
}

func bytesOf(text string) []byte {
	data, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return data
}

// Keys of X25519 and ed25519 that are special: points of low order, in all
// encodings (the two curves share some), and others that aren't reduced.
var specialKeys = func() (all [][]byte) {
	ends := strings.Repeat("00", 31)
	most := strings.Repeat("ff", 30) + "7f"
	for _, text := range []string{
		"00" + ends, "01" + ends, "ec" + most, "ed" + most, "ee" + most,
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800", "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"02" + ends, "03" + ends, "04" + ends, "09" + ends, "eb" + most, "ef" + most, "f0" + most, "f1" + most, "ff" + most,
	} {
		key := bytesOf(text)
		signed := slices.Clone(key)
		signed[31] |= 0x80
		all = append(all, key, signed)
	}
	return all
}()

// Points of P-256, with those that aren't.
var specialPoints = func() (all [][]byte) {
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	whole := private.PublicKey().Bytes()
	bad := slices.Clone(whole)
	bad[64] ^= 1
	compact := append([]byte{2 + whole[64]&1}, whole[1:33]...)
	other := append([]byte{3 - whole[64]&1}, whole[1:33]...)
	prime := "ffffffff00000001000000000000000000000000ffffffffffffffffffffff"
	all = [][]byte{whole, bad, compact, other, {0}, {}, make([]byte, 33), make([]byte, 65), whole[:64], append(slices.Clip(whole), 0), compact[:32], append(slices.Clip(compact), 0),
		bytesOf("02" + prime + "ff"), bytesOf("03" + prime + "ff"), bytesOf("02" + prime + "fe"), bytesOf("02" + strings.Repeat("ff", 32))}
	for x := range byte(16) {
		all = append(all, append(append([]byte{2 + x&1}, make([]byte, 31)...), x))
	}
	for _, form := range []byte{0, 1, 4, 5, 6, 7} {
		all = append(all, append([]byte{form}, whole[1:33]...), append([]byte{form}, whole[1:]...))
	}
	return all
}()

// Keys of ML-KEM-768, with those that aren't: a coefficient is too large.
var specialMLKEM = func() (all [][]byte) {
	private, err := mlkem.GenerateKey768()
	if err != nil {
		panic(err)
	}
	whole := private.EncapsulationKey().Bytes()
	large, last := slices.Clone(whole), slices.Clone(whole)
	large[0], large[1] = 0x01, large[1]&0xf0|0x0d // 3329, the modulus
	last[1150], last[1151] = last[1150]|0xf0, 0xff
	just := slices.Clone(whole)
	just[0], just[1] = 0x00, just[1]&0xf0|0x0d
	return [][]byte{whole, just, large, last, make([]byte, 1184), whole[:1183], {}}
}()

var prefixes = []string{"age", "age1pq", "age1tag", "age1tagpq", "age1yubikey", "age1rctest", "age1a.b_c-d+e", "age1", "age1tag1x", "age1tagpq1x", "age1pq1x", "age1tagx", "age1x/y", "age1~", "age1.", "age11", "age1x1y"}

// Every special key behind every prefix.
func TestOpinions(t *testing.T) {
	data := append(slices.Clone(specialKeys), specialPoints...)
	for _, pq := range specialMLKEM {
		for _, part := range append(slices.Clone(specialKeys), specialPoints...) {
			data = append(data, slices.Concat(pq, part))
		}
	}
	counts := map[string]int{}
	for _, d := range data {
		for _, prefix := range prefixes {
			if len(d) > 100 && !strings.HasSuffix(prefix, "pq") {
				continue // long ones say nothing new there
			}
			counts[fmt.Sprint(prefix, " ", sameOpinion(t, bech32(prefix, fives(d))))]++
		}
		if len(d) == 32 {
			counts[fmt.Sprint("ssh ", sameOpinion(t, sshLine(d)), sameOpinion(t, sshLine(d)+" a comment, with commas"))]++
		}
	}
	for _, kind := range []string{"age", "age1pq", "age1tag", "age1tagpq"} {
		if counts[kind+" true"] < 5 || counts[kind+" false"] < 2 {
			t.Errorf("of %s, %d are refused and %d are not", kind, counts[kind+" true"], counts[kind+" false"])
		}
	}
	if counts["ssh true true"] < 10 || counts["ssh false false"] < 2 {
		t.Errorf("of SSH keys: %v", counts)
	}
}

// A recipient of every kind, with each character changed, left out or doubled.
func TestOpinionsOfChanged(t *testing.T) {
	for _, kind := range allKinds {
		if kind == keys.RecipientPassphrase {
			continue
		}
		text := meet(t, "Dana", kind).Text
		if sameOpinion(t, text) {
			t.Errorf("%s is refused", text)
		}
		begin := len("age1")
		if kind == keys.RecipientSSH {
			begin = len("ssh-ed25519 ")
		}
		for at := begin; at < len(text); at++ {
			another := "q"
			if text[at] == 'q' {
				another = "p"
			}
			for _, end := range []string{another + text[at+1:], text[at+1:], text[at:at+1] + text[at:], strings.ToUpper(text[at:]), ""} {
				sameOpinion(t, text[:at]+end)
			}
		}
	}
}

// drawText draws a recipient of some kind, or what looks like one.
func drawText(t *rapid.T) string {
	oneOf := func(label string, special [][]byte, longest int) []byte {
		if rapid.Bool().Draw(t, label+" at random") {
			return rapid.SliceOfN(rapid.Byte(), longest, longest).Draw(t, label)
		}
		return slices.Clone(rapid.SampledFrom(special).Draw(t, label))
	}
	var data []byte
	if pq := rapid.SampledFrom(append([][]byte{{}, {}, {}}, specialMLKEM...)).Draw(t, "ML-KEM"); len(pq) > 0 {
		data = slices.Clone(pq)
		if rapid.Bool().Draw(t, "changed") {
			data[rapid.IntRange(0, len(data)-1).Draw(t, "where")] = rapid.Byte().Draw(t, "to")
		}
	}
	if rapid.Bool().Draw(t, "a point") {
		data = append(data, oneOf("point", specialPoints, 33)...)
	} else {
		data = append(data, oneOf("key", specialKeys, 32)...)
	}
	begin := len("age1") // which says how it is read, and stays
	var text string
	if len(data) == 32 && rapid.Bool().Draw(t, "SSH") {
		text, begin = sshLine(ed25519.PublicKey(data)), len("ssh-ed25519 ")
	} else {
		values := fives(data)
		if len(values) > 0 && rapid.IntRange(0, 4).Draw(t, "padding") == 0 {
			values[len(values)-1] ^= byte(rapid.IntRange(0, 31).Draw(t, "last bits"))
			values = append(values, rapid.SliceOfN(rapid.Just(byte(0)), 0, 2).Draw(t, "more")...)
		}
		prefix := rapid.SampledFrom(prefixes).Draw(t, "prefix")
		if rapid.IntRange(0, 4).Draw(t, "plugin") == 0 {
			prefix = "age1" + rapid.StringMatching(`[!-@\[-~]{0,5}`).Draw(t, "name")
		}
		text = bech32(prefix, values)
	}
	for range rapid.SampledFrom([]int{0, 0, 0, 1, 1, 2}).Draw(t, "changes") {
		at := rapid.IntRange(begin, len(text)-1).Draw(t, "at")
		c := rapid.StringMatching(`[ -~]`).Draw(t, "character")
		text = rapid.SampledFrom([]string{text[:at], text[:at] + c + text[at+1:], text[:at] + c + text[at:], text[:at] + text[at+1:], text[:at] + strings.ToUpper(text[at:])}).Draw(t, "text")
		if len(text) == begin {
			break
		}
	}
	return text
}

func TestOpinionsOfAny(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sameOpinion(t, drawText(t))
	})
}

func FuzzOpinions(f *testing.F) {
	for _, prefix := range prefixes {
		f.Add(bech32(prefix, fives(specialKeys[0])))
		f.Add(bech32(prefix, fives(specialPoints[2])))
	}
	f.Add(sshLine(specialKeys[3]))
	f.Fuzz(func(t *testing.T, text string) {
		if strings.HasPrefix(text, "age1") && !secretWord.MatchString(text) {
			sameOpinion(t, text)
		}
	})
}
