//go:build cgo

package yubikey_test

import (
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rootceremony/keys"
	"rootceremony/keys/session"
	"rootceremony/keys/yubikey/pcsctest"
)

const (
	readerName = "Yubico YubiKey OTP+FIDO+CCID 00 00 00" // of a service's first reader
	factoryKey = "010203040506070801020304050607080102030405060708"
	ykcs11     = "/usr/lib/x86_64-linux-gnu/libykcs11.so"
)

// run is a program that nobody here wrote, in a folder.
func run(t *testing.T, service *pcsctest.Service, name string, args ...string) (string, error) {
	t.Helper()
	command := exec.Command(name, args...)
	command.Dir = service.Dir
	command.Env = append(os.Environ(), service.Env()...)
	out, err := command.CombinedOutput()
	return string(out), err
}

// says runs a program, which must succeed and say all of the wanted.
func says(t *testing.T, service *pcsctest.Service, wanted []string, name string, args ...string) string {
	t.Helper()
	out, err := run(t, service, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	for _, want := range wanted {
		if !strings.Contains(out, want) {
			t.Errorf("%s %s does not say %q:\n%s", name, strings.Join(args, " "), want, out)
		}
	}
	return out
}

func one(text string) []string { return []string{text} }

// Yubico's older command-line tool: it knows 3DES management keys only.
func TestYubicoPIVTool(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 1)
	service.Plug(t, 0, "--serial", "20456123", "--touch", "auto", "--attestation-root", filepath.Join(service.Dir, "root.pem"))
	tool := func(wanted []string, args ...string) {
		t.Helper()
		says(t, service, wanted, "yubico-piv-tool", args...)
	}
	tool([]string{"5.7.4", "20456123", "PIN tries left:\t3"}, "-a", "status")
	if out, err := run(t, service, "yubico-piv-tool", "-a", "generate", "-s", "9c", "-A", "ECCP256", "-o", "key.pem"); err == nil {
		t.Errorf("it knows AES-192 management keys after all: %s", out)
	}
	says(t, service, nil, "ykman", "--reader", readerName, "piv", "access", "change-management-key", "--algorithm", "TDES", "-m", factoryKey, "-n", factoryKey)
	tool(one("new private key"), "-a", "generate", "-s", "9c", "-A", "ECCP256", "--pin-policy", "always", "--touch-policy", "always", "-o", "key.pem")
	tool(nil, "-a", "attest", "-s", "9c", "-o", "slot.pem")
	tool(nil, "-a", "read-certificate", "-s", "f9", "-o", "device.pem")
	says(t, service, one("slot.pem: OK"), "openssl", "verify", "-CAfile", "root.pem", "-untrusted", "device.pem", "slot.pem")
	attested := says(t, service, nil, "openssl", "x509", "-in", "slot.pem", "-noout", "-pubkey")
	if key, err := os.ReadFile(filepath.Join(service.Dir, "key.pem")); err != nil || string(key) != attested {
		t.Errorf("generated %q (%v), attested %q", key, err, attested)
	}

	if out, err := run(t, service, "yubico-piv-tool", "-a", "verify-pin", "-P", "111111"); err == nil || !strings.Contains(out, "2 tries") {
		t.Errorf("wrong PIN: %v, %s", err, out)
	}
	tool(one("Successfully changed"), "-a", "change-pin", "-P", session.DefaultPIN, "-N", "654321")
	tool(one("Successfully changed"), "-a", "change-puk", "-P", session.DefaultPUK, "-N", "87654321")
	tool(one("Successfully unblocked"), "-a", "unblock-pin", "-P", "87654321", "-N", "482913")
	tool(one("Successfully verified"), "-a", "verify-pin", "-P", "482913")
	tool(one("Successfully changed pin retries to 4 and puk retries to 5"), "-a", "verify-pin", "-P", "482913", "-a", "pin-retries", "--pin-retries", "4", "--puk-retries", "5")

	says(t, service, nil, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "other.pem", "-subj", "/CN=somebody", "-out", "certificate.pem")
	tool(one("Successfully imported"), "-a", "import-certificate", "-s", "9d", "-i", "certificate.pem")
	tool(one("Successfully imported"), "-a", "import-key", "-s", "9d", "-i", "other.pem")
	tool(nil, "-a", "read-certificate", "-s", "9d", "-o", "read.pem")
	for _, name := range []string{"certificate.pem", "read.pem"} {
		says(t, service, one("CN = somebody"), "openssl", "x509", "-in", name, "-noout", "-subject")
	}
	s := selected(t, service, 20456123)
	info, err := s.Info()
	if err != nil {
		t.Fatal(err)
	}
	if info.PINTries != 4 || info.PUKTries != 5 || !info.PINDefault || !info.ManagementDefault || len(info.Keys) != 2 {
		t.Errorf("what it made: %+v", info)
	}
	if k, _ := info.Key(0x9d); k.Generated || k.Public.Algorithm != keys.P256 {
		t.Errorf("imported: %+v", k)
	}
	if _, err := s.Attest(0x9d); !is[*keys.NotGeneratedError](err) {
		t.Errorf("attest an imported key: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		_, _ = run(t, service, "yubico-piv-tool", "-a", "verify-pin", "-P", "111111")
	}
	for range 5 {
		_, _ = run(t, service, "yubico-piv-tool", "-a", "change-puk", "-P", "11111111", "-N", "22222222")
	}
	tool(one("Successfully reset"), "-a", "reset")
	tool(one("PIN tries left:\t3"), "-a", "status")
}

func TestYkman(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 1)
	service.Plug(t, 0, "--serial", "20456124", "--touch", "auto", "--attestation-root", filepath.Join(service.Dir, "root.pem"))
	ykman := func(wanted []string, args ...string) {
		t.Helper()
		says(t, service, wanted, "ykman", append([]string{"--reader", readerName}, args...)...)
	}
	says(t, service, one("Serial: 20456124"), "ykman", "list")
	ykman([]string{"5.7.4", "3/3", "AES192"}, "piv", "info")
	ykman(nil, "piv", "access", "change-pin", "-P", session.DefaultPIN, "-n", "482913")
	ykman(nil, "piv", "access", "change-management-key", "--algorithm", "AES256", "-m", factoryKey, "-n", strings.Repeat("ab", 32))
	ykman(nil, "piv", "keys", "generate", "-m", strings.Repeat("ab", 32), "-a", "ECCP384", "--touch-policy", "CACHED", "9c", "key.pem")
	ykman(nil, "piv", "keys", "attest", "9c", "slot.pem")
	ykman(nil, "piv", "certificates", "export", "f9", "device.pem")
	says(t, service, one("slot.pem: OK"), "openssl", "verify", "-CAfile", "root.pem", "-untrusted", "device.pem", "slot.pem")
	// It has the token sign this one.
	ykman(nil, "piv", "certificates", "generate", "-m", strings.Repeat("ab", 32), "-P", "482913", "-s", "CN=holder", "9c", "key.pem")
	ykman(nil, "piv", "certificates", "export", "9c", "certificate.pem")
	says(t, service, one("certificate.pem: OK"), "openssl", "verify", "-CAfile", "certificate.pem", "certificate.pem")
	ykman([]string{"AES256", "CN=holder"}, "piv", "info")
	ykman(one("Success"), "piv", "reset", "--force")
	ykman([]string{"AES192", "3/3"}, "piv", "info")
}

func TestOpenSC(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 1)
	service.Plug(t, 0, "--serial", "20456125", "--touch", "auto")
	says(t, service, one("3b:fd:13:00:00:81:31:fe:15:80:73:c0:21:c0:57:59:75:62:69:4b:65:79:40"), "opensc-tool", "--atr")
	says(t, service, one("Personal Identity Verification Card"), "opensc-tool", "--name")
	// By hand: SELECT, and the PIV application's version.
	says(t, service, one("05 07 04"), "opensc-tool", "--send-apdu", "00a4040005a000000308", "--send-apdu", "00fd000000")

	says(t, service, nil, "ykman", "--reader", readerName, "piv", "access", "change-management-key", "--algorithm", "TDES", "-m", factoryKey, "-n", factoryKey)
	pkcs11 := func(wanted []string, args ...string) {
		t.Helper()
		says(t, service, wanted, "pkcs11-tool", append([]string{"--module", ykcs11}, args...)...)
	}
	pkcs11([]string{"YubiKey PIV #20456125", "YubiKey YK5"}, "--list-token-slots")
	pkcs11(one("Key pair generated"), "--login", "--login-type", "so", "--so-pin", factoryKey, "--keypairgen", "--key-type", "EC:prime256v1", "--id", "02")
	pkcs11(one("Public key for Digital Signature"), "--list-objects")
	if err := os.WriteFile(filepath.Join(service.Dir, "message"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	pkcs11(nil, "--login", "--pin", session.DefaultPIN, "--sign", "--id", "02", "--mechanism", "ECDSA-SHA256", "--signature-format", "openssl", "--input-file", "message", "--output-file", "signature")
	pkcs11(nil, "--read-object", "--type", "pubkey", "--id", "02", "--output-file", "key.der")
	says(t, service, nil, "openssl", "pkey", "-pubin", "-inform", "DER", "-in", "key.der", "-out", "key.pem")
	says(t, service, one("Verified OK"), "openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "message")
}

// An ed25519 signature of the longest message, looked at by openssl.
func TestOpenSSLVerifiesEd25519(t *testing.T) {
	t.Parallel()
	service, _, s, root := signer(t, "--touch", "auto")
	message := make([]byte, 3062)
	_, _ = rand.Read(message)
	signature, err := s.Sign(t.Context(), keys.SlotRoot, pin(t, holderPIN), message, noTouch)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := root.SPKI()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"message": message, "signature": signature, "key.der": spki} {
		if err := os.WriteFile(filepath.Join(service.Dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verify := []string{"pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "key.der", "-rawin", "-in", "message", "-sigfile", "signature"}
	says(t, service, one("Signature Verified Successfully"), "openssl", verify...)
	if err := os.WriteFile(filepath.Join(service.Dir, "message"), message[1:], 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run(t, service, "openssl", verify...); err == nil {
		t.Errorf("another message: %s", out)
	}
}
