package tuf

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"filippo.io/mldsa"

	"rootceremony/keys"
)

// structure adds vectors about what a root file holds but for keys and roles.
func (w *workshop) structure(r *Root) {
	sig := `"signatures": [`
	keyid := fmt.Sprintf(`"keyid": "%s"`, must(Parse([]byte(w.base))).Signatures[0].KeyID)
	first := fmt.Sprintf(`"sig": "%x"`, must(Parse([]byte(w.base))).Signatures[0].Sig)
	signed := `"signed": ` + w.base[strings.Index(w.base, `"signed": `)+10:len(w.base)-3]
	list := w.base[strings.Index(w.base, sig) : strings.Index(w.base, signed)-4]

	// The outermost object.
	w.raw("file-array", "["+w.base+"]", "root metadata must be an object, not an array", "[", "an array around the file")
	w.raw("file-string", `"root"`, "root metadata must be an object, not a string", `"root"`, "a string instead of the file")
	w.raw("file-null", "null", "root metadata must be an object, not null", "null", "null instead of the file")
	w.raw("file-no-signed", "{"+list+"}", `lacks "signed"`, "{", "signed is missing")
	w.raw("file-no-signatures", "{"+signed+"}", `lacks "signatures"`, "{", "signatures is missing")
	w.edit("file-signed-case", "", `"signed"`, `"Signed"`, `must be written "signed"`, `"Signed"`, "Signed instead of signed")
	w.edit("file-signatures-case", "", `"signatures"`, `"SIGNATURES"`, `must be written "signatures"`, `"SIG`, "SIGNATURES instead of signatures")
	w.raw("file-signed-null", "{"+list+`, "signed": null}`, "signed must be an object, not null", "null", "signed is null")
	w.raw("file-signed-array", "{"+list+`, "signed": []}`, "signed must be an object, not an array", "[]", "signed is an array")
	w.edit("file-field", "", "{", `{"comment": "x", `, "good: line 1, column 2: unknown field comment", "", "an unknown field beside signed and signatures")

	// Signatures.
	w.raw("signatures-null", `{"signatures": null, `+signed+"}", "signatures must be an array, not null", "null", "signatures is null")
	w.raw("signatures-object", `{"signatures": {}, `+signed+"}", "signatures must be an array, not an object", "{}", "signatures is an object")
	w.edit("signature-null", sig, sig, sig+"null, ", "a signature must be an object, not null", "null", "a signature that is null")
	w.edit("signature-string", sig, sig, sig+`"", `, "a signature must be an object, not a string", `""`, "a signature that is a string")
	w.edit("signature-no-keyid", sig, keyid+",", "", `a signature lacks "keyid"`, "{", "a signature without keyid")
	w.edit("signature-no-sig", sig, first, `"x": 0`, `a signature lacks "sig"`, "{", "a signature without sig")
	w.edit("signature-keyid-null", sig, keyid, `"keyid": null`, "keyid must be a string, not null", "null", "a keyid that is null")
	w.edit("signature-keyid-number", sig, keyid, `"keyid": 1`, "keyid must be a string, not a number", "1", "a keyid that is a number")
	w.edit("signature-sig-null", sig, first, `"sig": null`, "sig must be a string, not null", "null", "a sig that is null")
	w.edit("signature-sig-odd", sig, first, first[:len(first)-2]+`"`, "good: can't be one and doesn't count: it isn't an even number of hex digits", `"`, "a sig with an odd number of digits")
	w.edit("signature-sig-letter", sig, first, first[:len(first)-3]+`zz"`, "good: can't be one and doesn't count: it isn't an even number of hex digits", `"`, "a sig with letters that are no digits")
	w.edit("signature-sig-space", sig, first, first[:len(first)-3]+` 0"`, "good: can't be one and doesn't count: it isn't an even number of hex digits", `"`, "a sig with a space")
	w.edit("signature-sig-0x", sig, first, strings.Replace(first, `: "`, `: "0x`, 1), "good: can't be one and doesn't count: it isn't an even number of hex digits", `"0x`, "a sig that begins with 0x")
	w.edit("signature-63-bytes", sig, first, first[:len(first)-3]+`"`, "good: doesn't count: it has 63 bytes; one of its kind has 64", `"`, "an ed25519 signature of 63 bytes")
	w.edit("signature-65-bytes", sig, first, first[:len(first)-1]+`00"`, "good: doesn't count: it has 65 bytes; one of its kind has 64", `"`, "an ed25519 signature of 65 bytes")
	w.edit("signature-twice", sig, sig, sig+"{"+keyid+", "+first+"}, ", "signatures list the key id", keyid[9:], "a signature twice")
	w.edit("signature-twice-escaped", sig, sig, sig+"{"+escapeFirst(keyid)+", "+first+"}, ", "signatures list the key id", keyid[9:], "a signature twice, once with an escape in the key id")
	w.edit("signature-twice-differs", sig, sig, sig+"{"+keyid+`, "sig": ""}, `, "signatures list the key id", keyid[9:], "an empty signature and a good one of the same key")
	w.edit("signature-keyid-case", sig, `"keyid"`, `"keyId"`, `must be written "keyid"`, `"keyId"`, "keyId instead of keyid")
	w.edit("signature-sig-case", sig, `"sig"`, `"Sig"`, `must be written "sig"`, `"Sig"`, "Sig instead of sig")
	w.edit("signature-field", sig, keyid, `"method": "ed25519", `+keyid, "good: line", "", "an unknown field in a signature")
	w.edit("signature-capitals", sig, first, `"sig": "`+strings.ToUpper(first[8:]), "good", "", "a signature in capital hex digits")
	w.edit("signature-stranger", sig, sig, sig+`{"keyid": "ffff", "sig": "00"}, `, "good", "", "also a signature by a key that is not in the root")

	// What a root says about itself.
	field := func(name, member, old, new, want, about string) {
		w.edit(name, `"`+member+`"`, old, new, want, new, about)
	}
	remove := func(name, member, line string) {
		w.edit(name, `"`+member+`"`, line, "", `signed lacks "`+member+`"`, "{", member+" is missing")
	}
	remove("type-absent", "_type", `"_type": "root",`)
	field("type-null", "_type", `"root"`, "null", "_type must be a string, not null", "_type is null")
	field("type-timestamp", "_type", `"root"`, `"timestamp"`, `metadata of the type "timestamp"`, "metadata of another role")
	field("type-case", "_type", `"root"`, `"Root"`, `metadata of the type "Root"`, "Root instead of root")
	remove("spec-absent", "spec_version", `"spec_version": "1.0.34",`)
	for _, c := range [][3]string{
		{"spec-null", "null", "must be a string, not null"}, {"spec-number", "1", "must be a string, not a number"},
		{"spec-empty", `""`, "is not a version"}, {"spec-2", `"2.0.0"`, "only major version 1"}, {"spec-10", `"10.0.0"`, "only major version 1"},
		{"spec-0", `"0.9.0"`, "only major version 1"}, {"spec-letter", `"1.x"`, "is not a version"}, {"spec-v", `"v1.0.34"`, "is not a version"},
		{"spec-long", `"1.0.` + strings.Repeat("3", 29) + `"`, "spec_version has 33 bytes"}, {"spec-four", `"1.0.34.0"`, "is not a version"}, {"spec-dots", `"1..34"`, "is not a version"}, {"spec-space", `"1.0.34 "`, "is not a version"},
	} {
		field(c[0], "spec_version", `"1.0.34"`, c[1], c[2], "spec_version "+c[1])
	}
	for _, c := range [][2]string{{"spec-1-0", "1.0"}, {"spec-1", "1"}, {"spec-1-1", "1.1.0"}} {
		w.edit(c[0], `"spec_version"`, `1.0.34`, c[1], "good: line", "", "spec_version "+c[1])
	}
	w.edit("version-absent", `"spec_version"`, `,`+"\n"+`    "version": 1`, "", `signed lacks "version"`, "{", "version is missing")
	for _, c := range [][3]string{
		{"version-null", "null", "must be a number, not null"}, {"version-string", `"1"`, "must be a number, not a string"},
		{"version-true", "true", "must be a number, not true or false"}, {"version-0", "0", "1 or more"}, {"version-minus", "-1", "1 or more"},
	} {
		w.edit(c[0], `"version"`, "1", c[1], c[2], c[1], "version "+c[1])
	}
	remove("expires-absent", "expires", `"expires": "2027-11-22T00:00:00Z",`)
	for _, c := range [][3]string{
		{"expires-null", "null", "null"}, {"expires-number", "1826841600", "a number"}, {"expires-empty", `""`, "empty"},
		{"expires-no-time", `"2027-11-22"`, "a date without time"}, {"expires-no-zone", `"2027-11-22T00:00:00"`, "without Z"},
		{"expires-month", `"2027-13-22T00:00:00Z"`, "month 13"}, {"expires-day", `"2027-02-30T00:00:00Z"`, "30 February"},
		{"expires-leap-second", `"2027-06-30T23:59:60Z"`, "second 60"}, {"expires-hour", `"2027-11-22T24:00:00Z"`, "hour 24"},
		{"expires-small-t", `"2027-11-22t00:00:00Z"`, "t instead of T"}, {"expires-small-z", `"2027-11-22T00:00:00z"`, "z instead of Z"},
		{"expires-gap", `"2027-11-22 00:00:00Z"`, "a space instead of T"}, {"expires-comma", `"2027-11-22T00:00:00,5Z"`, "a comma before the fraction"},
		{"expires-offset-colon", `"2027-11-22T00:00:00+0100"`, "an offset without colon"}, {"expires-offset-day", `"2027-11-22T00:00:00+24:00"`, "an offset of a day"},
		{"expires-year-10000", `"9999-12-31T23:59:59-10:00"`, "the year 10000 in UTC"}, {"expires-long-year", `"12027-11-22T00:00:00Z"`, "a year of five digits"},
		{"expires-space", `" 2027-11-22T00:00:00Z"`, "a space before it"}, {"expires-short", `"2027-11-22T0:00:00Z"`, "an hour of one digit"},
	} {
		want := "expires must be a date such as"
		if c[1][0] != '"' {
			want = "expires must be a string, not"
		}
		field(c[0], "expires", `"2027-11-22T00:00:00Z"`, c[1], want, "expires: "+c[2])
	}
	for _, c := range [][3]string{
		{"expires-fraction", "2027-11-22T00:00:00.123456789Z", "with a fraction"}, {"expires-offset", "2027-11-22T00:00:00-06:00", "with an offset"},
		{"expires-offset-zero", "2027-11-22T00:00:00+00:00", "+00:00 instead of Z"},
	} {
		w.edit(c[0], `"expires"`, "2027-11-22T00:00:00Z", c[1], "good: line", "", "expires: "+c[2])
	}
	long := "2027-11-22T00:00:00." + strings.Repeat("5", 44) + "Z"
	field("expires-long", "expires", `"2027-11-22T00:00:00Z"`, `"`+long+`"`, "expires has 65 bytes", "expires: a fraction of 44 digits")
	w.edit("expires-longest", `"expires"`, "2027-11-22T00:00:00Z", strings.Replace(long, "5", "", 1), "good: line", "", "expires: a fraction of 43 digits")
	w.edit("spec-longest", `"spec_version"`, "1.0.34", "1.0."+strings.Repeat("3", 28), "good: line", "", "spec_version of 32 bytes")
	field("expires-offset-minutes", "expires", `"2027-11-22T00:00:00Z"`, `"2027-11-22T00:00:00+01:60"`, "expires must be a date", "expires: an offset of 60 minutes past the hour")
	w.edit("expires-leap-day", `"expires"`, "2027-11-22", "2028-02-29", "good", "", "expires on 29 February")
	w.edit("expires-1970", `"expires"`, "2027-11-22", "1970-01-01", "version 1 has expired", "", "expired in 1970")
	w.edit("expires-now", `"expires"`, "2027-11-22", "2027-01-01", "version 1 has expired", "", "expires at this very second")
	for _, c := range [][2]string{{"consistent-null", "null"}, {"consistent-string", `"true"`}, {"consistent-number", "1"}} {
		field(c[0], "consistent_snapshot", "true", c[1], "consistent_snapshot must be true or false", "consistent_snapshot is "+c[1])
	}
	w.edit("consistent-absent", "", `"consistent_snapshot": true,`, "", "good: line", "", "consistent_snapshot is missing")
	w.edit("consistent-false", `"consistent_snapshot"`, "true", "false", "good", "", "consistent_snapshot is false")
	w.edit("rehearsal", `"version"`, `1`, `1, "x-rehearsal": true`, "good", "", "a root of a rehearsal: the callers refuse it")
	w.edit("version-7", `"version"`, "1", "7", "good", "", "a chain may begin with version 7")
}

// escapeFirst writes the first character of a value as an escape.
func escapeFirst(member string) string {
	i := strings.Index(member, `: "`) + 3
	return fmt.Sprintf(`%s\u%04x%s`, member[:i], member[i], member[i+1:])
}

// keysAndRoles adds vectors about them.
func (w *workshop) keysAndRoles(r *Root) {
	a := r.Keys[0]
	at := `"` + a.ID + `": {` // its key object
	public := `"public": "` + a.Public.Hex + `"`
	object := w.base[strings.Index(w.base, at)+len(at)-1:]
	object = object[:strings.Index(object, "\n      }")+8]
	keysText := w.base[strings.Index(w.base, `"keys": {`):strings.Index(w.base, `"roles": {`)]
	rolesText := w.base[strings.Index(w.base, `"roles": {`):strings.Index(w.base, `"spec_version"`)]

	w.edit("keys-absent", "", keysText, "", `signed lacks "keys"`, "{", "keys is missing")
	w.edit("keys-null", "", keysText, `"keys": null, `, "keys must be an object, not null", "null", "keys is null")
	w.edit("keys-array", "", keysText, `"keys": [], `, "keys must be an object, not an array", "[]", "keys is an array")
	w.edit("key-null", "", `"keys": {`, `"keys": {"x": null, `, "a key must be an object, not null", "null", "a key that is null")
	w.edit("key-string", "", `"keys": {`, `"keys": {"x": "", `, "a key must be an object, not a string", `""`, "a key that is a string")
	w.edit("key-twice", "", `"keys": {`, `"keys": {`+at+object[1:]+", ", "stands twice in this object", at[:len(at)-3], "a key twice")
	w.edit("key-no-id", "", `"keys": {`, `"keys": {"": `+object+", ", "a key id must not be empty", `""`, "a key with an empty id")
	for _, c := range [][5]string{
		{"keytype-absent", `"keytype": "ed25519",`, ``, `a key lacks "keytype"`, "{"},
		{"keytype-null", `"ed25519"`, `null`, "keytype must be a string, not null", "null"},
		{"keytype-number", `"ed25519"`, `25519`, "keytype must be a string, not a number", "25519"},
		{"keytype-unknown", `"keytype": "ed25519"`, `"keytype": "ed448"`, "good: can't be verified here and counts for nothing", `"ed448"`},
		{"keytype-case", `"keytype"`, `"keyType"`, `must be written "keytype"`, `"keyType"`},
		{"keytype-capital", `"keytype": "ed25519"`, `"keytype": "Ed25519"`, "must be written", `"Ed25519"`},
		{"scheme-absent", ",\n        \"scheme\": \"ed25519\"", ``, `a key lacks "scheme"`, "{"},
		{"scheme-null", `"scheme": "ed25519"`, `"scheme": null`, "scheme must be a string, not null", "null"},
		{"scheme-unknown", `"scheme": "ed25519"`, `"scheme": "ed25519ph"`, "of no kind that is known here", `"ed25519"`},
		{"scheme-other", `"scheme": "ed25519"`, `"scheme": "rsassa-pss-sha256"`, "of no kind that is known here", `"ed25519"`},
		{"keyval-null", object[strings.Index(object, `"keyval"`) : strings.Index(object, `}`)+1], `"keyval": null`, "keyval must be an object, not null", "null"},
		{"keyval-string", object[strings.Index(object, `"keyval"`) : strings.Index(object, `}`)+1], `"keyval": "` + a.Public.Hex + `"`, "keyval must be an object, not a string", `"`},
		{"keyval-absent", object[strings.Index(object, `"keyval"`) : strings.Index(object, `}`)+2], ``, `a key lacks "keyval"`, "{"},
		{"public-absent", public, ``, `keyval lacks "public"`, "{"},
		{"public-null", public, `"public": null`, "the public key must be a string, not null", "null"},
		{"public-case", `"public"`, `"Public"`, `must be written "public"`, `"Public"`},
		{"public-63-digits", public, public[:len(public)-2] + `"`, "64 hex digits, not 63 characters", `"`},
		{"public-66-digits", public, public[:len(public)-1] + `00"`, "64 hex digits, not 66 characters", `"`},
		{"public-empty", public, `"public": ""`, "64 hex digits, not 0 characters", `""`},
		{"public-letter", public, public[:len(public)-2] + `g"`, "64 hex digits, and nothing else", `"`},
		{"public-base64", public, `"public": "` + must64(a.Public.Hex) + `"`, "64 hex digits, not 44 characters", `"`},
		{"public-not-canonical", public, `"public": "f0` + strings.Repeat("f", 60) + `7f"`, "not in its one canonical form", `"f0`},
		{"public-zero", public, `"public": "` + strings.Repeat("0", 64) + `"`, "is of small order", `"0`},
		{"public-one", public, `"public": "01` + strings.Repeat("0", 62) + `"`, "is of small order", `"01`},
		{"public-order-8", public, `"public": "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"`, "is of small order", `"c7`},
		{"public-and-private", public, public + `, "private": "` + strings.Repeat("5a", 32) + `"`, "good: THE PRIVATE HALF", `"private"`},
		{"public-pem", public, `"public": "` + escapedPEM(a.Public) + `"`, "64 hex digits, not 113 characters", `"-----`},
	} {
		w.edit(c[0], at, c[1], c[2], c[3], c[4], "a key: "+strings.ReplaceAll(c[0], "-", " "))
	}
	w.edit("key-private-empty", at, public, public+`, "private": ""`, "good: line", "", "a key with the old, empty field private")
	w.edit("key-private-null", at, public, public+`, "private": null`, "private must be a string", "null", "a key with a field private that is null")
	w.edit("key-hash-algorithms", at, `"keytype"`, `"keyid_hash_algorithms": ["sha256", "sha512"], "keytype"`, "good: line", "", "a key with the old field keyid_hash_algorithms")
	w.edit("key-hash-algorithms-null", at, `"keytype"`, `"keyid_hash_algorithms": null, "keytype"`, "good: line", "", "a key whose keyid_hash_algorithms is null")
	w.edit("key-field", at, `"keytype"`, `"x-owner": {"name": ["A"]}, "keytype"`, "good: line", "", "an unknown field in a key")
	w.edit("keyval-field", at, public, public+`, "certificate": "none"`, "good: line", "", "an unknown field in keyval")
	w.edit("keyval-field-object", at, public, public+`, "x": {"y": 1}`, "good: line", "", "an unknown field in keyval that is an object")
	w.edit("key-capitals", at, a.Public.Hex, strings.ToUpper(a.Public.Hex), "good: line", "", "a public key in capital hex digits")
	w.everywhere("key-id-short", a.ID, "key-1", "good: line", "", "a key id that is not the hash")
	w.everywhere("key-id-foreign", a.ID, "schlüssel", "good: line", "", "a key id with a character beyond ASCII")
	w.everywhere("key-id-capitals", a.ID, strings.ToUpper(a.ID), "good: line", "", "a key id in capital hex digits")
	w.edit("key-unused", "", `"keys": {`, `"keys": {"`+make25519(70).key.ID+`": `+string(make25519(70).key.Object())+", ", "good: line", "", "a key that no role uses")
	w.edit("key-two-ids", "", `"keys": {`, `"keys": {"twin": `+object+", ", "good: line", "", "a key again under another id that no role uses")

	// Roles.
	ids := `"root": {`
	role := `"targets": {`
	w.edit("roles-absent", "", rolesText, "", `signed lacks "roles"`, "{", "roles is missing")
	w.edit("roles-null", "", rolesText, `"roles": null, `, "roles must be an object, not null", "null", "roles is null")
	w.edit("roles-array", "", rolesText, `"roles": [], `, "roles must be an object, not an array", "[]", "roles is an array")
	for _, name := range RoleNames {
		start := strings.Index(w.base, `"`+name+`": {`)
		end := start + strings.Index(w.base[start:], "\n      }") + 8
		text := w.base[start:end]
		if name == RoleTimestamp { // the last one: the comma before it goes
			text = w.base[start-8 : end] // ",\n      " before it
		} else {
			text += ","
		}
		w.edit("role-absent-"+name, "", text, "", `the role "`+name+`" is missing`, "{", "the role "+name+" is missing")
	}
	w.edit("role-case", "", `"root": {`, `"Root": {`, `must be written "root"`, `"Root"`, "a role named Root instead of root")
	w.edit("role-null", "", role, `"mirrors": null, `+role, "a role must be an object, not null", "null", "an unknown role that is null")
	w.edit("role-twice", "", role, role+`"keyids": ["`+r.Keys[3].ID+`"], "threshold": 1}, `+role, `the name "targets" stands twice`, role[:9], "a role twice")
	list := func(name, new, want, at, about string) {
		start := strings.Index(w.base, ids)
		old := w.base[start+strings.Index(w.base[start:], `"keyids": [`):]
		old = old[:strings.Index(old, "]")+1]
		w.edit(name, ids, old, new, want, at, about)
	}
	all := fmt.Sprintf(`"%s", "%s", "%s"`, a.ID, r.Keys[1].ID, r.Keys[2].ID)
	list("keyids-null", `"keyids": null`, "keyids must be an array, not null", "null", "keyids is null")
	list("keyids-object", `"keyids": {}`, "keyids must be an array, not an object", "{}", "keyids is an object")
	list("keyids-string", `"keyids": "`+a.ID+`"`, "keyids must be an array, not a string", `"`, "keyids is a string")
	list("keyids-empty", `"keyids": []`, "it has only 0 different keys", "2", "keyids is empty")
	list("keyids-null-inside", `"keyids": [`+all+`, null]`, "a key id must be a string, not null", "null", "a key id that is null")
	list("keyids-number", `"keyids": [`+all+`, 1]`, "a key id must be a string, not a number", "1", "a key id that is a number")
	list("keyids-unknown", `"keyids": [`+all+`, "ffff"]`, "which is not in keys", `"ffff"`, "a key id that is not in keys")
	list("keyids-capitals", `"keyids": ["`+strings.ToUpper(a.ID)+`", `+all+`]`, "which is not in keys", `"`+strings.ToUpper(a.ID[:8]), "a key id in another case than in keys")
	list("keyids-twice", `"keyids": [`+all+`, "`+a.ID+`"]`, "twice", `"`+a.ID+`"`+"]", "a key id twice")
	list("keyids-twice-escaped", `"keyids": [`+all+fmt.Sprintf(`, "\u%04x%s"]`, a.ID[0], a.ID[1:]), "twice", `"\u`, "a key id twice, once with an escape")
	list("keyids-absent", `"x": 0`, `a role lacks "keyids"`, "{", "keyids is missing")
	list("keyids-case", `"keyIds": [`+all+`]`, `must be written "keyids"`, `"keyIds"`, "keyIds instead of keyids")
	list("keyids-one-of-four", `"keyids": [`+all+`, "`+r.Keys[3].ID+`"]`, "good", "", "the online key is also a root key")
	for _, c := range [][3]string{
		{"threshold-null", "null", "threshold must be a number, not null"}, {"threshold-string", `"2"`, "threshold must be a number, not a string"},
		{"threshold-0", "0", "must be 1 or more"}, {"threshold-minus", "-2", "must be 1 or more"},
		{"threshold-above", "4", "is 4, but it has only 3 different keys"}, {"threshold-2-32", "4294967298", "is 4294967298, but it has only 3"},
	} {
		w.edit(c[0], ids, `"threshold": 2`, `"threshold": `+c[1], c[2], c[1], "the root role's threshold is "+c[1])
	}
	w.edit("threshold-absent", ids, ",\n        \"threshold\": 2", "", `a role lacks "threshold"`, "{", "the root role's threshold is missing")
	w.edit("threshold-case", ids, `"threshold"`, `"Threshold"`, `must be written "threshold"`, `"Threshold"`, "Threshold instead of threshold")
	w.edit("threshold-above-online", role, `"threshold": 1`, `"threshold": 2`, "good: is 2, but it has only 1 different keys", "2", "an online role's threshold is above its keys")
	w.edit("threshold-0-online", role, `"threshold": 1`, `"threshold": 0`, "must be 1 or more", "0", "an online role's threshold is 0")
	w.edit("keyids-twice-online", role, `"keyids": [`, `"keyids": ["`+r.Keys[3].ID+`", `, "twice", `"`+r.Keys[3].ID+`"`+"\n", "a key id twice in an online role")
	w.edit("role-field", ids, `"keyids"`, `"x-period": 365, "keyids"`, "good: line", "", "an unknown field in a role")
	w.edit("role-unknown", "", role, `"mirrors": {"keyids": ["`+a.ID+`"], "threshold": 1}, `+role, "good: line", "", "an unknown role")
	w.edit("role-unknown-bad", "", role, `"mirrors": {"keyids": ["ffff"], "threshold": 1}, `+role, "which is not in keys", `"ffff"`, "an unknown role with a key that is not in keys")
}

func must64(digits string) string {
	return base64.StdEncoding.EncodeToString(must(hex.DecodeString(digits)))
}

// escapedPEM is a key as PEM in a JSON string.
func escapedPEM(public keys.PublicKey) string {
	return strings.ReplaceAll(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(public.SPKI())})), "\n", `\n`)
}

// fixedECDSA is an ECDSA key that is always the same.
func fixedECDSA(curve elliptic.Curve) *maker {
	return made("fixed "+curve.Params().Name, func() crypto.Signer {
		seed := sha512.Sum384([]byte("test key on " + curve.Params().Name))
		return must(ecdsa.ParseRawPrivateKey(curve, seed[:(curve.Params().BitSize+7)/8]))
	})
}

// fixedRSA is an RSA key that is always the same. Nothing makes it secret.
func fixedRSA(bits int) *rsa.PrivateKey {
	prime := func(label string) *big.Int {
		var b []byte
		for i := 0; len(b) < bits/16; i++ {
			sum := sha256.Sum256(fmt.Appendf(nil, "test prime %s %d %d", label, bits, i))
			b = append(b, sum[:]...)
		}
		n := new(big.Int).SetBytes(b[:bits/16])
		n.SetBit(n.SetBit(n.SetBit(n, 0, 1), bits/2-1, 1), bits/2-2, 1)
		one, e := big.NewInt(1), big.NewInt(65537)
		for !n.ProbablyPrime(20) || new(big.Int).GCD(nil, nil, new(big.Int).Sub(n, one), e).Cmp(one) != 0 {
			n.Add(n, big.NewInt(2))
		}
		return n
	}
	p, q := prime("p"), prime("q")
	k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537}, Primes: []*big.Int{p, q}}
	one := big.NewInt(1)
	k.D = new(big.Int).ModInverse(big.NewInt(65537), new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)))
	k.Precompute()
	return k
}

// keyOf reads a key object that is put together from its parts.
func keyOf(keytype, scheme, public string) Key {
	var k Key
	if err := k.UnmarshalJSON(fmt.Appendf(nil, `{"keytype":"%s","keyval":{"public":"%s"},"scheme":"%s"}`, keytype, public, scheme)); err != nil {
		panic(err)
	}
	return k
}

// zeros is a source of salts that are always the same.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// legacy adds vectors with keys as old roots have them, and what is wrong with such.
func (w *workshop) legacy() {
	p256, p384, private := fixedECDSA(elliptic.P256()), fixedECDSA(elliptic.P384()), fixedRSA(2048)
	der := must(x509.MarshalPKIXPublicKey(&private.PublicKey))
	pemText := func(der []byte, kind string) string {
		return strings.ReplaceAll(string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})), "\n", `\n`)
	}
	rsaPublic := pemText(der, "PUBLIC KEY")
	signEC := func(m *maker, k Key) func([]byte) Signature {
		return func(message []byte) Signature {
			if m == p384 {
				long := sha512.Sum384(message)
				return Signature{KeyID: k.ID, Sig: must(m.private.Sign(nil, long[:], crypto.SHA384))}
			}
			digest := sha256.Sum256(message)
			return Signature{KeyID: k.ID, Sig: must(m.private.Sign(nil, digest[:], crypto.SHA256))}
		}
	}
	signPSS := func(salt int) func([]byte) Signature {
		k := keyOf("rsa", "rsassa-pss-sha256", rsaPublic)
		return func(message []byte) Signature {
			digest := sha256.Sum256(message)
			return Signature{KeyID: k.ID, Sig: must(rsa.SignPSS(zeros{}, private, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: salt}))}
		}
	}
	// one is a root with one root key, and its file.
	one := func(k Key, sign func([]byte) Signature) (string, *Root) {
		r, _ := vectorRoot()
		r.Keys = append(r.Keys[3:], k)
		r.Roles[RoleRoot] = Role{KeyIDs: []string{k.ID}, Threshold: 1}
		return pretty(r, sign(r.Canonical())), r
	}
	good := func(name, keytype, scheme, public, want, about string, m *maker) {
		k := keyOf(keytype, scheme, public)
		text, _ := one(k, signEC(m, k))
		w.raw(name, text, want, "", about)
	}
	pem256, pem384 := escapedPEM(p256.key.Public), escapedPEM(p384.key.Public)
	hex256, hex384 := p256.key.Public.Hex, p384.key.Public.Hex
	good("ecdsa-p256", "ecdsa", "ecdsa-sha2-nistp256", pem256, "good", "an ECDSA key on P-256 in PEM, as we write it", p256)
	good("ecdsa-p384", "ecdsa", "ecdsa-sha2-nistp384", pem384, "good", "an ECDSA key on P-384 in PEM, as we write it", p384)
	good("ecdsa-p256-old-keytype", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", pem256, "good: line", "P-256 in PEM with the old keytype", p256)
	good("ecdsa-p384-old-keytype", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384", pem384, "good: line", "P-384 in PEM with the old keytype", p384)
	good("ecdsa-p256-hex", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", hex256, "good: line", "P-256 as a point in hex with the old keytype", p256)
	good("ecdsa-p256-hex-new-keytype", "ecdsa", "ecdsa-sha2-nistp256", hex256, "good: line", "P-256 as a point in hex with the new keytype", p256)
	good("ecdsa-p384-hex", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384", hex384, "good: line", "P-384 as a point in hex with the old keytype", p384)
	good("ecdsa-p256-hex-capitals", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", strings.ToUpper(hex256), "good: line", "P-256 as a point in capital hex digits", p256)
	good("ecdsa-p256-pem-no-newline", "ecdsa", "ecdsa-sha2-nistp256", strings.TrimSuffix(pem256, `\n`), "good", "PEM without a newline at the end", p256)
	rsaKey := keyOf("rsa", "rsassa-pss-sha256", rsaPublic)
	for _, salt := range []int{0, 20, 32, 222} {
		text, r := one(rsaKey, signPSS(salt))
		if salt == 0 { // 0 asks the library for the longest
			text = pretty(r, Signature{KeyID: rsaKey.ID, Sig: pssWithoutSalt(private, r.Canonical())})
		}
		w.raw(fmt.Sprintf("rsa-salt-%d", salt), text, "good: line", "", fmt.Sprintf("RSA-PSS with a salt of %d bytes, of at most 222", salt))
	}
	_, r := one(rsaKey, signPSS(32))
	sum := sha256.Sum256(r.Canonical())
	w.raw("rsa-pkcs1", pretty(r, Signature{KeyID: rsaKey.ID, Sig: must(rsa.SignPKCS1v15(nil, private, crypto.SHA256, sum[:]))}), "wrong signature by", "", "a PKCS #1 v1.5 signature by an RSA-PSS key")
	long := sha512.Sum512(r.Canonical())
	w.raw("rsa-pss-sha512", pretty(r, Signature{KeyID: rsaKey.ID, Sig: must(rsa.SignPSS(zeros{}, private, crypto.SHA512, long[:], &rsa.PSSOptions{SaltLength: 64}))}), "wrong signature by", "", "an RSA-PSS signature with SHA-512")
	ed := make25519(0)
	r.Keys = append(r.Keys, ed.key)
	r.Roles[RoleRoot] = Role{KeyIDs: []string{rsaKey.ID, ed.key.ID}, Threshold: 1}
	w.raw("rsa-short", pretty(r, Signature{KeyID: rsaKey.ID, Sig: signPSS(32)(r.Canonical()).Sig[1:]}, ed.sign(r.Canonical())), "good: it has 255 bytes; one of its kind has 256", `"`, "an RSA signature of one byte too few, beside a good one")

	// A bad key beside good ones: the key of the online roles is replaced.
	base, _ := vectorRoot()
	online := base.Keys[3]
	bad := func(name, keytype, scheme, public, want, about string) {
		old := w.base[strings.Index(w.base, `"`+online.ID+`": {`):]
		old = old[:strings.Index(old, "\n      }")+8]
		new := fmt.Sprintf(`"%s": {"keytype": "%s", "keyval": {"public": "%s"}, "scheme": "%s"}`, online.ID, keytype, public, scheme)
		at := `"` + public
		if strings.Contains(want, "no kind") {
			at = `"` + keytype
		}
		w.edit(name, "", old, new, want, at, about)
	}
	p256DER := must(p256.key.Public.SPKI())
	compressed := append([]byte{2 + p256DER[len(p256DER)-1]&1}, p256DER[27:59]...)
	ec, s256, s384 := "ecdsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"
	bad("ecdsa-short", ec, s256, hex256[:128], "is 130 hex digits, not 128", "a point of P-256 of 64 bytes")
	bad("ecdsa-compressed", ec, s256, hex.EncodeToString(compressed), "is 130 hex digits, not 66", "a compressed point of P-256 in hex")
	bad("ecdsa-off-curve", ec, s256, hex256[:129]+string("0123456789abcdef0"[unhex(hex256[129])+1]), "is no point of ecdsa-p256", "a point that is not on P-256")
	bad("ecdsa-infinity", ec, s256, "04"+strings.Repeat("0", 128), "is no point of ecdsa-p256", "the point (0, 0)")
	bad("ecdsa-hybrid", ec, s256, "06"+hex256[2:], "is no point of ecdsa-p256", "a point in the hybrid form")
	bad("ecdsa-other-scheme", ec, s384, pem256, "no public key of ecdsa-p384", "P-256 in PEM with the scheme of P-384")
	bad("ecdsa-other-scheme-hex", ec, s384, hex256, "is 194 hex digits, not 130", "P-256 in hex with the scheme of P-384")
	bad("ecdsa-mixed", s256, s384, pem384, "of no kind that is known here", "the old keytype of P-256 with the scheme of P-384")
	bad("ecdsa-scheme-sha512", ec, "ecdsa-sha2-nistp521", pem256, "of no kind that is known here", "a scheme that is not known")
	bad("pem-ed25519", ec, s256, escapedPEM(online.Public), "no public key of ecdsa-p256", "an ed25519 key in PEM called ECDSA")
	bad("pem-rsa", ec, s256, rsaPublic, "no public key of ecdsa-p256", "an RSA key called ECDSA")
	bad("pem-private", ec, s256, strings.ReplaceAll(pem256, "PUBLIC", "PRIVATE"), "holds a private key", "a private key in PEM")
	bad("pem-certificate", ec, s256, strings.ReplaceAll(pem256, "PUBLIC KEY", "CERTIFICATE"), "neither hex nor PEM", "a certificate instead of a key")
	bad("pem-text-before", ec, s256, `key:\n`+pem256, "neither hex nor PEM", "text before the PEM")
	bad("pem-text-after", ec, s256, pem256+"x", "does not end with END PUBLIC KEY", "text after the PEM")
	bad("pem-twice", ec, s256, pem256+pem256, "is not base64", "two keys in one PEM text")
	bad("pem-base64", ec, s256, strings.Replace(pem256, "M", "!", 1), "is not base64", "PEM with a letter that is not base64")
	bad("pem-compressed", ec, s256, pemText(compressedSPKI(compressed), "PUBLIC KEY"), "no public key of ecdsa-p256", "a compressed point of P-256 in PEM")
	bad("pem-trailing-bytes", ec, s256, pemText(append(slices.Clone(p256DER), 0), "PUBLIC KEY"), "no public key of ecdsa-p256", "a byte after the key inside the PEM")
	pss := "rsassa-pss-sha256"
	small := fixedRSA(1024)
	bad("rsa-1024", "rsa", pss, pemText(must(x509.MarshalPKIXPublicKey(&small.PublicKey)), "PUBLIC KEY"), "an RSA key of 1024 bits", "an RSA key of 1024 bits")
	bad("rsa-exponent-1", "rsa", pss, pemText(must(x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: private.N, E: 1})), "PUBLIC KEY"), "exponent", "an RSA key with the exponent 1: anyone can sign")
	bad("rsa-exponent-even", "rsa", pss, pemText(must(x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: private.N, E: 2})), "PUBLIC KEY"), "exponent", "an RSA key with an even exponent")
	bad("rsa-pkcs1-pem", "rsa", pss, pemText(x509.MarshalPKCS1PublicKey(&private.PublicKey), "RSA PUBLIC KEY"), "neither hex nor PEM", "an RSA key as PKCS #1")
	bad("rsa-hex", "rsa", pss, hex.EncodeToString(der), "neither hex nor PEM", "an RSA key in hex")
	bad("rsa-ecdsa", "rsa", pss, pem256, "the keytype says rsa", "an ECDSA key called RSA")
	bad("rsa-scheme-pkcs1", "rsa", "rsa-pkcs1v15-sha256", rsaPublic, "of no kind that is known here", "the scheme of PKCS #1 v1.5")
	bad("rsa-scheme-sha512", "rsa", "rsassa-pss-sha512", rsaPublic, "of no kind that is known here", "RSA-PSS with SHA-512")
	bad("rsa-trailing-bytes", "rsa", pss, pemText(append(slices.Clone(der), 0), "PUBLIC KEY"), "not a readable RSA public key", "a byte after the RSA key inside the PEM")
}

// compressedSPKI is SubjectPublicKeyInfo with a compressed point of P-256.
func compressedSPKI(point []byte) []byte {
	return append([]byte("\x30\x39"+spkiP256[2:len(spkiP256)-4]+"\x03\x22\x00"), point...)
}

// counting adds vectors about which signatures count.
func (w *workshop) counting(r *Root) {
	a, b, c := w.holders[0], w.holders[1], w.holders[2]
	message := r.Canonical()
	count := func(name, want, about string, sigs ...Signature) {
		w.raw(name, pretty(r, sigs...), want, "", about)
	}
	by := func(m *maker, sig []byte) Signature { return Signature{KeyID: m.key.ID, Sig: sig} }
	flipped := a.sign(message).Sig
	flipped[10] ^= 1
	count("count-0", "0 of 2: missing", "no signatures")
	count("count-1", "1 of 2: missing", "one signature where two are needed", a.sign(message))
	count("count-3", "good", "one signature more than needed", signAll(message, a, b, c)...)
	count("count-empty", "1 of 2: missing", "one signature and one empty placeholder", a.sign(message), by(b, nil))
	count("count-empty-beside", "good: line", "two signatures and an empty placeholder", a.sign(message), b.sign(message), by(c, nil))
	count("count-flipped", "wrong signature by", "one bit of a signature is wrong", by(a, flipped), b.sign(message))
	count("count-flipped-beside", "good", "two good signatures and a wrong one", by(a, flipped), b.sign(message), c.sign(message))
	count("count-swapped", "0 of 2", "two good signatures, each under the other's key id", by(a, b.sign(message).Sig), by(b, a.sign(message).Sig))
	count("count-same", "1 of 2", "one key's signature under two key ids", a.sign(message), by(b, a.sign(message).Sig))
	count("count-online", "1 of 2", "a signature by the online key does not count for root", a.sign(message), make25519(100).sign(message))
	count("count-unknown", "1 of 2", "a signature by a key that is not in the root", a.sign(message), make25519(88).sign(message))
	count("count-zero", "1 of 2", "64 zero bytes as a signature", a.sign(message), by(b, make([]byte, 64)))
	other := bytesReplace(message, `"version":1`, `"version":2`)
	count("count-other", "0 of 2", "signatures over another version", signAll(other, a, b)...)
	count("count-raw", "0 of 2", "signatures over the indented text instead of its canonical form", signAll([]byte(w.base[strings.Index(w.base, `"signed": `)+10:len(w.base)-3]), a, b)...)
	// s + L: the same signature with s not reduced.
	count("count-malleable", "1 of 2", "an ed25519 signature whose s is not reduced", by(a, addOrder(a.sign(message).Sig)), b.sign(message))

	// With the neutral element as the key, R = s*B is a signature over anything;
	// here s is 0.
	neutral := "01" + strings.Repeat("0", 62)
	forged := must(hex.DecodeString(neutral + strings.Repeat("0", 64)))
	forgery := pretty(r, a.sign(bytesReplace(message, c.key.Public.Hex, neutral)), by(c, forged))
	w.raw("public-forged", strings.Replace(forgery, c.key.Public.Hex, neutral, 1), "is of small order", `"01`, "one good signature, and one that anyone can make for a key of small order")

	// One key under two ids.
	twin := func(name string, threshold int, want, about string, sigs func([]byte) []Signature) {
		r, _ := vectorRoot()
		k := a.key
		k.ID = "twin"
		r.Keys = append(r.Keys, k)
		r.Roles[RoleRoot] = Role{KeyIDs: append(slices.Clone(r.Roles[RoleRoot].KeyIDs), "twin"), Threshold: threshold}
		at := ""
		if threshold > 3 {
			at = fmt.Sprint(threshold)
		}
		w.raw(name, pretty(r, sigs(r.Canonical())...), want, at, about)
	}
	both := func(m []byte) []Signature { return []Signature{a.sign(m), {KeyID: "twin", Sig: a.sign(m).Sig}} }
	twin("twin-counted-once", 2, "1 of 2", "one key under two ids, both signed: it counts once", both)
	twin("twin-and-another", 2, "good: line", "one key under two ids, and a second key", func(m []byte) []Signature { return append(both(m), b.sign(m)) })
	twin("twin-threshold", 4, "is 4, but it has only 3 different keys", "a threshold that only one key under two ids could reach", func(m []byte) []Signature {
		return append(both(m), b.sign(m), c.sign(m))
	})
	// One key in two notations: the same point as PEM and in hex.
	p256 := fixedECDSA(elliptic.P256())
	first, second := p256.key, keyOf("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", p256.key.Public.Hex)
	two, _ := vectorRoot()
	two.Keys = append(two.Keys[2:], first, second)
	two.Roles[RoleRoot] = Role{KeyIDs: []string{two.Keys[0].ID, first.ID, second.ID}, Threshold: 2}
	sum := sha256.Sum256(two.Canonical())
	sig := must(p256.private.Sign(nil, sum[:], crypto.SHA256))
	w.raw("twin-notations", pretty(two, Signature{KeyID: first.ID, Sig: sig}, Signature{KeyID: second.ID, Sig: sig}), "1 of 2", "", "one P-256 key as PEM and as a point in hex: it counts once")

	// OLPC canonical JSON keeps a newline as it is; RFC 8785 escapes it.
	pemRoot, _ := vectorRoot()
	pemRoot.Keys = append(pemRoot.Keys, p256.key)
	pemRoot.Roles[RoleTargets] = Role{KeyIDs: []string{p256.key.ID}, Threshold: 1}
	text := pemRoot.Canonical()
	w.raw("canonical-newline", pretty(pemRoot, signAll(text, a, b)...), "good", "", "a PEM key: its newlines are signed as they are")
	jcs := bytesReplace(text, "\n", `\n`)
	w.raw("canonical-jcs", pretty(pemRoot, signAll(jcs, a, b)...), "0 of 2", "", "signatures over RFC 8785, which escapes newlines")

	// 1 of 1, all of all, many keys.
	for _, n := range [][2]int{{1, 1}, {3, 3}, {20, 11}} {
		r, holders := newRoot(n[0], n[1])
		w.raw(fmt.Sprintf("count-%d-of-%d", n[1], n[0]), pretty(r, signAll(r.Canonical(), holders[:n[1]]...)...), "good", "", fmt.Sprintf("%d of %d keys", n[1], n[0]))
	}
}

func bytesReplace(b []byte, old, new string) []byte {
	return []byte(strings.ReplaceAll(string(b), old, new))
}

// addOrder adds the order of the group to the s of an ed25519 signature.
func addOrder(sig []byte) []byte {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := slices.Clone(sig[32:])
	slices.Reverse(s)
	s = new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(make([]byte, 32))
	slices.Reverse(s)
	return append(slices.Clone(sig[:32]), s...)
}

// chains adds vectors of several files.
func (w *workshop) chains() {
	type version struct {
		number    int64
		holders   []int
		threshold int
		signers   []int
		expires   time.Time
		change    func(*Root)
		sigs      func([]byte) []Signature // beside those of the signers
	}
	soon, past := vectorTime.AddDate(1, 0, 0), vectorTime.AddDate(-2, 0, 0)
	chain := func(name, want, about string, list ...version) {
		var files [][]byte
		for _, v := range list {
			r, _ := newRoot(1, 1)
			r.Version, r.Expires = v.number, v.expires
			if v.expires.IsZero() {
				r.Expires = soon
			}
			r.Keys = nil
			role := Role{Threshold: v.threshold}
			for _, n := range v.holders {
				m := make25519(n)
				r.Keys, role.KeyIDs = append(r.Keys, m.key), append(role.KeyIDs, m.key.ID)
			}
			r.Roles[RoleRoot] = role
			for _, other := range RoleNames[1:] {
				r.Roles[other] = Role{KeyIDs: []string{make25519(100).key.ID}, Threshold: 1}
			}
			r.Keys = append(r.Keys, make25519(100).key)
			if v.change != nil {
				v.change(r)
			}
			var sigs []Signature
			for _, n := range v.signers {
				sigs = append(sigs, make25519(n).sign(r.Canonical()))
			}
			if v.sigs != nil {
				sigs = append(sigs, v.sigs(r.Canonical())...)
			}
			files = append(files, []byte(pretty(r, sigs...)))
		}
		w.add(name, want, "", about, files...)
	}
	abc, ab := []int{0, 1, 2}, []int{0, 1}
	one := version{number: 1, holders: abc, threshold: 2, signers: ab}
	next := func(change func(*version)) version {
		v := version{number: 2, holders: []int{1, 2, 3}, threshold: 2, signers: []int{1, 2}}
		change(&v)
		return v
	}
	same := func(*version) {}
	chain("chain-good", "good", "one holder leaves, one comes; two sign for both", one, next(same))
	chain("chain-all-new", "good", "all holders change; two of each sign", one, next(func(v *version) { v.holders, v.signers = []int{4, 5, 6}, []int{0, 1, 4, 5} }))
	chain("chain-three", "good", "three versions", one, next(same), version{number: 3, holders: []int{2, 3, 4}, threshold: 3, signers: []int{1, 2, 3, 4}})
	chain("chain-old-threshold", "version 2 is not signed by enough keys of version 1: 1 of 2", "enough new keys sign, one old one too few", one, next(func(v *version) { v.signers = []int{2, 3} }))
	chain("chain-old-none", "version 2 is not signed by enough keys of version 1: 0 of 2", "only new keys sign", one, next(func(v *version) { v.holders, v.signers = []int{4, 5, 6}, []int{4, 5} }))
	chain("chain-new-threshold", "version 2 is not signed by enough of its own keys: 1 of 2", "enough old keys sign, one new one too few", one, next(func(v *version) { v.signers = ab }))
	chain("chain-gap", "version 3 follows version 1, where version 2 belongs", "a version is left out", one, next(func(v *version) { v.number = 3 }))
	chain("chain-repeat", "version 1 follows version 1, where version 2 belongs", "the version stays the same", one, next(func(v *version) { v.number = 1 }))
	chain("chain-back", "version 1 follows version 2, where version 3 belongs", "the version goes back", version{number: 2, holders: abc, threshold: 2, signers: ab}, next(func(v *version) { v.number = 1 }))
	chain("chain-highest", "good", "the last two versions there can be", version{number: maxInt - 1, holders: abc, threshold: 2, signers: ab}, next(func(v *version) { v.number = maxInt }))
	chain("chain-raised", "version 2 is not signed by enough of its own keys: 2 of 3", "the threshold is raised to 3, and two sign", one, next(func(v *version) { v.holders, v.threshold, v.signers = abc, 3, ab }))
	chain("chain-raised-good", "good", "the threshold is raised to 3, and three sign", one, next(func(v *version) { v.holders, v.threshold, v.signers = abc, 3, abc }))
	chain("chain-lowered", "version 2 is not signed by enough keys of version 1: 1 of 2", "the threshold is lowered to 1, and one signs: the old one counts", one, next(func(v *version) { v.holders, v.threshold, v.signers = abc, 1, []int{0} }))
	chain("chain-lowered-good", "good", "the threshold is lowered to 1, and two sign", one, next(func(v *version) { v.holders, v.threshold, v.signers = abc, 1, ab }))
	chain("chain-expired-between", "good", "a version before the last has expired", one, next(func(v *version) { v.expires = past }), version{number: 3, holders: []int{1, 2, 3}, threshold: 2, signers: []int{1, 2}})
	chain("chain-expired-first", "good", "the first version has expired", version{number: 1, holders: abc, threshold: 2, signers: ab, expires: past}, next(same))
	chain("chain-expired-last", "version 2 has expired: it was good until 2025-01-01 00:00:00 UTC", "the last version has expired", one, next(func(v *version) { v.expires = past }))
	chain("chain-earlier-expiry", "good", "the new version expires before the old one", version{number: 1, holders: abc, threshold: 2, signers: ab, expires: soon.AddDate(1, 0, 0)}, next(same))
	renamed := make25519(1).key
	renamed.ID = "other"
	rename := func(r *Root) {
		r.Keys[0] = renamed
		r.Roles[RoleRoot] = Role{KeyIDs: append([]string{"other"}, r.Roles[RoleRoot].KeyIDs[1:]...), Threshold: 2}
	}
	chain("chain-other-id", "version 2 is not signed by enough of its own keys: 1 of 2", "a key stays under another id, and signs under the old one only", one, next(func(v *version) { v.change = rename }))
	chain("chain-other-id-both", "good: line", "a key stays under another id, and signs under both", one, next(func(v *version) {
		v.change = rename
		v.sigs = func(m []byte) []Signature { return []Signature{{KeyID: "other", Sig: make25519(1).sign(m).Sig}} }
	}))
	reuse := func(r *Root) {
		k := make25519(9).key
		k.ID = make25519(1).key.ID
		r.Keys[0] = k
	}
	chain("chain-id-reused", "version 2 is not signed by enough of its own keys: 1 of 2", "an old key's id stands for a new key; the old one signs", one, next(func(v *version) { v.change = reuse }))
	chain("chain-id-reused-back", "version 2 is not signed by enough keys of version 1: 1 of 2", "an old key's id stands for a new key; the new one signs", one, next(func(v *version) {
		v.change, v.signers = reuse, []int{2}
		v.sigs = func(m []byte) []Signature {
			return []Signature{{KeyID: make25519(1).key.ID, Sig: make25519(9).sign(m).Sig}}
		}
	}))
	twinned := func(r *Root) {
		k := make25519(0).key
		k.ID = "twin"
		r.Keys = append(r.Keys, k)
		r.Roles[RoleRoot] = Role{KeyIDs: append(slices.Clone(r.Roles[RoleRoot].KeyIDs), "twin"), Threshold: 2}
	}
	chain("chain-twin", "version 2 is not signed by enough keys of version 1: 1 of 2", "the old root has a key under two ids, which signs the next under both",
		version{number: 1, holders: abc, threshold: 2, signers: ab, change: twinned}, next(func(v *version) {
			v.holders, v.signers = []int{2, 3, 4}, []int{0, 3, 4}
			v.sigs = func(m []byte) []Signature { return []Signature{{KeyID: "twin", Sig: make25519(0).sign(m).Sig}} }
		}))
	chain("chain-online", "version 2 is not signed by enough keys of version 1: 1 of 2", "the online key signs for an old root key", one, next(func(v *version) { v.signers = []int{1, 3, 100} }))
	chain("chain-first-unsigned", "version 1 is not signed by enough of its own keys: 1 of 2", "the first root is not signed by itself", version{number: 1, holders: abc, threshold: 2, signers: []int{0}}, next(same))
	chain("chain-placeholder", "version 2 is not signed by enough keys of version 1: 1 of 2", "an empty placeholder of an old key", one, next(func(v *version) {
		v.signers = []int{2, 3}
		v.sigs = func([]byte) []Signature { return []Signature{{KeyID: make25519(1).key.ID}} }
	}))
	chain("chain-same-file", "version 1 follows version 1", "the same file twice", one, one)
}

// fixedMLDSA is an ML-DSA key that is always the same, its Key, and how it signs a
// message whose form is not TAP 21's yet.
func fixedMLDSA(scheme string) (Key, func(message []byte, context string) Signature) {
	seed := sha256.Sum256([]byte("test key " + scheme))
	private := must(mldsa.NewPrivateKey(mldsaKinds[scheme].parameters, seed[:]))
	der := append([]byte(mldsaKinds[scheme].spki), private.PublicKey().Bytes()...)
	k := keyOf("ml-dsa", scheme, strings.ReplaceAll(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "\n", `\n`))
	return k, func(message []byte, context string) Signature {
		return Signature{KeyID: k.ID, Sig: must(private.SignDeterministic(message, &mldsa.Options{Context: context}))}
	}
}

// tap21 is what an ML-DSA key signs (TAP 21, version 1).
func tap21(canonical []byte) []byte {
	digest := sha512.Sum512(canonical)
	return append([]byte("tuf\x01"), digest[:]...)
}

// postQuantum adds vectors with ML-DSA keys (TAP 21), and with keys of kinds that
// nobody here knows.
func (w *workshop) postQuantum() {
	a := w.holders[0]
	root := func(threshold int, holders ...Key) *Root {
		r, _ := vectorRoot()
		role := Role{Threshold: threshold}
		r.Keys = append(r.Keys[3:], holders...)
		for _, k := range holders {
			role.KeyIDs = append(role.KeyIDs, k.ID)
		}
		r.Roles[RoleRoot] = role
		return r
	}
	for _, scheme := range []string{"ml-dsa-44/1", "ml-dsa-65/1", "ml-dsa-87/1"} {
		k, sign := fixedMLDSA(scheme)
		r, size := root(1, k), scheme[7:9]
		w.raw("mldsa-"+size, pretty(r, sign(tap21(r.Canonical()), "")), "good: line", "", "one key: ML-DSA-"+size)
	}
	k, sign := fixedMLDSA("ml-dsa-44/1")
	r := root(1, k)
	w.raw("mldsa-canonical", pretty(r, sign(r.Canonical(), "")), "0 of 1: wrong signature", "", "ML-DSA over the canonical form itself, without TAP 21's prefix and digest")
	w.raw("mldsa-context", pretty(r, sign(tap21(r.Canonical()), "tuf")), "0 of 1: wrong signature", "", "ML-DSA with a context, which TAP 21 leaves empty")
	both := root(2, a.key, k)
	w.raw("mldsa-hybrid", pretty(both, a.sign(both.Canonical()), sign(tap21(both.Canonical()), "")), "good: line", "", "ed25519 and ML-DSA, both must sign")
	w.raw("mldsa-hybrid-one", pretty(both, a.sign(both.Canonical())), "1 of 2: missing", "", "ed25519 and ML-DSA, both must sign, and only ed25519 did")
	either := root(1, a.key, k)
	short := sign(tap21(either.Canonical()), "")
	short.Sig = short.Sig[1:]
	w.raw("mldsa-short", pretty(either, a.sign(either.Canonical()), short), "good: it has 2419 bytes; one of its kind has 2420", "", "an ML-DSA signature of one byte too few, beside a good one")

	// Keys that count for nothing, beside a good one and alone.
	other := func(name, want, about string, k Key) {
		r := root(1, a.key, k)
		w.raw(name, pretty(r, a.sign(r.Canonical()), Signature{KeyID: k.ID, Sig: []byte{1}}), "good: "+want, "", about)
		r = root(1, k)
		w.raw(name+"-alone", pretty(r, Signature{KeyID: k.ID, Sig: []byte{1}}), "0 of 1: not counted, as it can't be verified here", "", about+", and no other")
	}
	unknown := func(keytype, scheme, keyval string) Key {
		d := must(scanned(fmt.Sprintf(`{"keytype":"%s","keyval":%s,"scheme":"%s"}`, keytype, keyval, scheme)))
		r := reader{document: d}
		id := r.keyID(0)
		return must(r.key(0, string(id[:])))
	}
	k65, _ := fixedMLDSA("ml-dsa-65/1")
	public65 := string(k65.object[strings.Index(k65.object, `{"public"`) : strings.Index(k65.object, "}")+1])
	other("mldsa-other-size", "the PEM text holds no public key of ML-DSA-44", "a key of ML-DSA-65 that is called one of ML-DSA-44", unknown("ml-dsa", "ml-dsa-44/1", public65))
	other("mldsa-no-key", "it isn't a readable ML-DSA key", "PEM that is no key of ML-DSA", unknown("ml-dsa", "ml-dsa-44/1", `{"public":"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"}`))
	other("mldsa-version-2", "the kind ml-dsa with scheme ml-dsa-44/2 isn't known", "ML-DSA by another version of TAP 21", unknown("ml-dsa", "ml-dsa-44/2", public65))
	other("unknown-keyval", "the kind sigstore-oidc with scheme Fulcio isn't known", "a key that is an identity, with no public key in it", unknown("sigstore-oidc", "Fulcio", `{"identity":"someone@example.org","issuer":"https://issuer.example.org"}`))
}

// scanned is scan, whose error is nil where there is none.
func scanned(s string) (*document, error) {
	if d, err := scan(s); err == nil {
		return d, nil
	} else {
		return nil, err
	}
}

// pssWithoutSalt signs with RSA-PSS and an empty salt (RFC 8017, 9.1.1), which
// the standard library does not do.
func pssWithoutSalt(private *rsa.PrivateKey, message []byte) []byte {
	size := private.Size()
	digest := sha256.Sum256(message)
	h := sha256.Sum256(append(make([]byte, 8), digest[:]...))
	block := make([]byte, size)
	db := block[:size-32-1]
	db[len(db)-1] = 1
	for i, counter := 0, byte(0); i < len(db); counter++ { // MGF1
		mask := sha256.Sum256(append(h[:], 0, 0, 0, counter))
		for _, m := range mask {
			if i < len(db) {
				db[i] ^= m
				i++
			}
		}
	}
	db[0] &= 0x7f
	copy(block[len(db):], h[:])
	block[size-1] = 0xbc
	return new(big.Int).Exp(new(big.Int).SetBytes(block), private.D, private.N).FillBytes(make([]byte, size))
}
