package virtual

// appendTLV appends a BER-TLV (ISO 7816-4, 5.2.2) of less than 64 KiB. The tag
// is its bytes as a number: 0x7f49.
func appendTLV(b []byte, tag uint32, value []byte) []byte {
	for shift := 24; shift > 0; shift -= 8 {
		if tag>>shift != 0 {
			b = append(b, byte(tag>>shift))
		}
	}
	b = append(b, byte(tag))
	switch n := len(value); {
	case n < 0x80:
		b = append(b, byte(n))
	case n < 0x100:
		b = append(b, 0x81, byte(n))
	default:
		b = append(b, 0x82, byte(n>>8), byte(n))
	}
	return append(b, value...)
}

// readTLV reads the first BER-TLV of b: tags of up to three bytes, lengths of
// up to two.
func readTLV(b []byte) (tag uint32, value, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, nil, false
	}
	tag, n := uint32(b[0]), 1
	for more := b[0]&0x1f == 0x1f; more; n++ {
		if n == 3 || n == len(b) {
			return 0, nil, nil, false
		}
		tag = tag<<8 | uint32(b[n])
		more = b[n]&0x80 != 0
	}
	if b = b[n:]; len(b) == 0 {
		return 0, nil, nil, false
	}
	length, b := int(b[0]), b[1:]
	if length > 0x82 || length == 0x80 || length > 0x80 && len(b) < length-0x80 {
		return 0, nil, nil, false
	}
	if bytes := length - 0x80; bytes > 0 {
		length = 0
		for _, c := range b[:bytes] {
			length = length<<8 | int(c)
		}
		b = b[bytes:]
	}
	if len(b) < length {
		return 0, nil, nil, false
	}
	return tag, b[:length], b[length:], true
}

// field is one TLV of a template.
type field struct {
	tag   uint32
	value []byte
}

// readTLVs reads all of b.
func readTLVs(b []byte) ([]field, bool) {
	var fields []field
	for len(b) > 0 {
		tag, value, rest, ok := readTLV(b)
		if !ok {
			return nil, false
		}
		fields, b = append(fields, field{tag, value}), rest
	}
	return fields, true
}

// lookUp returns the value of a tag.
func lookUp(fields []field, tag uint32) ([]byte, bool) {
	for _, f := range fields {
		if f.tag == tag {
			return f.value, true
		}
	}
	return nil, false
}
