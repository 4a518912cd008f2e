// Package yubico holds the certificates that genuine YubiKeys' attestations of
// the PIV applet lead to, as Yubico publishes them.
package yubico

import (
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
)

//go:embed roots.pem
var roots []byte

//go:embed intermediates.pem
var intermediates []byte

// Roots are the self-signed certificates: the one of YubiKeys before firmware
// 5.7, and the one of all applets since.
func Roots() []*x509.Certificate { return embedded(roots) }

// Intermediates are those between the newer root and the devices, as known in
// June 2025. Newer ones come in a file: see Parse.
func Intermediates() []*x509.Certificate { return embedded(intermediates) }

func embedded(text []byte) []*x509.Certificate {
	certificates, err := Parse(text)
	if err != nil {
		panic(err) // a test reads them
	}
	return certificates
}

// Parse reads one certificate or more in PEM. What stands between them does
// not count; any other block is an error.
func Parse(text []byte) ([]*x509.Certificate, error) {
	var certificates []*x509.Certificate
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it holds a %s, where certificates are expected", block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(certificates)+1, err)
		}
		certificates, text = append(certificates, certificate), rest
	}
	if len(certificates) == 0 {
		return nil, errors.New("it holds no certificate (PEM)")
	}
	return certificates, nil
}
