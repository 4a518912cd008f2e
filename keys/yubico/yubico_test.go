package yubico

import (
	"crypto/x509"
	"strings"
	"testing"
)

// Each root signs itself, and each intermediate leads to a root, in whose
// validity its own lies.
func TestCertificates(t *testing.T) {
	if n := len(Roots()); n != 2 {
		t.Errorf("%d roots", n)
	}
	for _, root := range Roots() {
		if err := root.CheckSignatureFrom(root); err != nil {
			t.Errorf("%s: %v", root.Subject.CommonName, err)
		}
	}
	ofPIV := 0
	for _, c := range Intermediates() {
		if !leads(c) {
			t.Errorf("%s leads to no root", c.Subject.CommonName)
		}
		if strings.HasPrefix(c.Subject.CommonName, "Yubico PIV Attestation ") {
			ofPIV++
		}
	}
	if ofPIV < 2 {
		t.Errorf("%d intermediates of the PIV applet", ofPIV)
	}
}

func leads(c *x509.Certificate) bool {
	for _, root := range Roots() {
		if certified(c, root) {
			return true
		}
	}
	for _, up := range Intermediates() {
		if up != c && !up.Equal(c) && certified(c, up) {
			return leads(up)
		}
	}
	return false
}

func certified(c, by *x509.Certificate) bool {
	return c.CheckSignatureFrom(by) == nil && !c.NotBefore.Before(by.NotBefore) && !c.NotAfter.After(by.NotAfter)
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"":      "no certificate",
		"hello": "no certificate",
		"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n": "a PRIVATE KEY",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n": "certificate 1",
	} {
		t.Run(want, func(t *testing.T) {
			if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
				t.Error(err)
			}
		})
	}
}
