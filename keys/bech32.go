package keys

import "strings"

// bech32Letters are the characters of bech32 that stand for 0 to 31 (BIP 173).
const bech32Letters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

// bech32Encode writes data behind a prefix in lower case. BIP 173's limit of 90
// characters isn't kept, as age doesn't keep it.
func bech32Encode(prefix string, data []byte) string {
	var values []byte
	bits, n := uint32(0), 0 // the n lowest bits are still to be written
	for _, b := range data {
		for bits, n = bits<<8|uint32(b), n+8; n >= 5; {
			n -= 5
			values = append(values, byte(bits>>n)&31)
		}
	}
	if n > 0 {
		values = append(values, byte(bits<<(5-n))&31)
	}
	sum := bech32Sum(prefix, append(values, make([]byte, 6)...)) ^ 1
	text := []byte(prefix + "1")
	for _, v := range values {
		text = append(text, bech32Letters[v])
	}
	for i := range 6 {
		text = append(text, bech32Letters[sum>>(25-5*i)&31])
	}
	return string(text)
}

// bech32Decode reads what bech32Encode writes, and nothing else: the checksum
// fits, and what is left over of the last character is less than that, and
// zero. The prefix is checked by anyone who compares it.
func bech32Decode(text string) (prefix string, data []byte, ok bool) {
	one := strings.LastIndexByte(text, '1')
	if one < 1 {
		return "", nil, false
	}
	prefix = text[:one]
	var values []byte
	for _, c := range []byte(text[one+1:]) {
		v := strings.IndexByte(bech32Letters, c)
		if v < 0 {
			return "", nil, false
		}
		values = append(values, byte(v))
	}
	if len(values) < 6 || bech32Sum(prefix, values) != 1 {
		return "", nil, false
	}
	bits, n := uint32(0), 0
	for _, v := range values[:len(values)-6] {
		if bits, n = bits<<5|uint32(v), n+5; n >= 8 {
			n -= 8
			data = append(data, byte(bits>>n))
		}
	}
	return prefix, data, n < 5 && bits&(1<<n-1) == 0
}

// bech32Sum is BIP 173's polymod; 1 where the values end in the checksum.
func bech32Sum(prefix string, values []byte) uint32 {
	sum := uint32(1)
	add := func(v byte) {
		top := sum >> 25
		sum = sum&0x1ffffff<<5 ^ uint32(v)
		for i, generator := range [...]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				sum ^= generator
			}
		}
	}
	for _, c := range []byte(prefix) {
		add(c >> 5)
	}
	add(0)
	for _, c := range []byte(prefix) {
		add(c & 31)
	}
	for _, v := range values {
		add(v)
	}
	return sum
}
