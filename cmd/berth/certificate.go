package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// security returns how TLS is served, or nil where it is not.
func (s *serveCommand) security(log *slog.Logger) (*tls.Config, error) {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, // game servers in C++, Unity and Unreal know no later one
		NextProtos: []string{"h2", "http/1.1"},
	}
	switch {
	case s.TLSSelfSigned:
		host, _, err := net.SplitHostPort(s.Addr)
		if err != nil {
			return nil, err
		}
		certificate, err := selfSigned("localhost", "127.0.0.1", "::1", host, s.PublicURL.Hostname())
		if err != nil {
			return nil, fmt.Errorf("--tls-self-signed: %w", err)
		}
		logCertificate(log, certificate)
		config.Certificates = []tls.Certificate{*certificate}
	case s.TLSCert != "":
		files := &certificateFiles{cert: s.TLSCert, key: s.TLSKey, log: log}
		if err := files.read(); err != nil {
			return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
		}
		_, _ = files.certificate(nil) // to warn of one that expires
		config.GetCertificate = files.certificate
	default:
		return nil, nil
	}
	return config, nil
}

// certificateFiles are PEM files of a certificate, followed by its chain, and of its key. They are read again when they have
// changed. What is then no certificate leaves the last one in use.
type certificateFiles struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	seen    [2]os.FileInfo // when they were read last
	failed  error          // why that was no certificate, if it was not
	warned  time.Time      // of its expiry
	current *tls.Certificate
}

// certificate is for a handshake. Asking for the state of two files costs little beside one.
func (f *certificateFiles) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// What could not be read is tried again even if it seems to be the same: perhaps it may be read now.
	if now := f.state(); f.failed != nil || !sameFile(now[0], f.seen[0]) || !sameFile(now[1], f.seen[1]) {
		before := f.failed
		f.failed = f.read()
		if f.failed != nil && (before == nil || before.Error() != f.failed.Error()) {
			f.log.Warn("the new certificate cannot be used; the last one stays in use", "error", f.failed, "expires", f.current.Leaf.NotAfter)
		}
	}
	if time.Since(f.warned) > 24*time.Hour && warnOfExpiry(f.log, f.current) {
		f.warned = time.Now()
	}
	return f.current, nil
}

func (f *certificateFiles) read() error {
	f.seen = f.state() // first: what changes meanwhile is read again
	certificate, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return fmt.Errorf("certificate %s, key %s: %w", f.cert, f.key, err)
	}
	logCertificate(f.log, &certificate)
	f.current = &certificate
	return nil
}

// state has nothing of a file that is not there.
func (f *certificateFiles) state() (state [2]os.FileInfo) {
	for i, name := range []string{f.cert, f.key} {
		if info, err := os.Stat(name); err == nil {
			state[i] = info
		}
	}
	return state
}

func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// selfSigned makes a certificate of those hosts, names or addresses, for a year. Those that are empty or unspecified are left out.
func selfSigned(hosts ...string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "berth"},
		NotBefore:             time.Now().Add(-time.Hour), // clients' clocks may be behind
		NotAfter:              time.Now().AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	slices.Sort(hosts)
	for _, host := range slices.Compact(hosts) {
		if addr, err := netip.ParseAddr(host); err != nil && host != "" {
			template.DNSNames = append(template.DNSNames, host)
		} else if err == nil && !addr.IsUnspecified() {
			template.IPAddresses = append(template.IPAddresses, addr.AsSlice())
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// soon is how long before it expires a certificate should have been renewed.
const soon = 7 * 24 * time.Hour

func logCertificate(log *slog.Logger, certificate *tls.Certificate) {
	fingerprint := sha256.Sum256(certificate.Leaf.Raw)
	log.Info("certificate", "sha256", hex.EncodeToString(fingerprint[:]), "expires", certificate.Leaf.NotAfter)
}

// warnOfExpiry warns of a certificate that should have been renewed, and tells whether it has.
func warnOfExpiry(log *slog.Logger, certificate *tls.Certificate) bool {
	switch left := time.Until(certificate.Leaf.NotAfter); {
	case left <= 0:
		log.Warn("the certificate has expired; renew it", "expired", certificate.Leaf.NotAfter)
	case left < soon:
		log.Warn("the certificate expires soon; renew it", "expires", certificate.Leaf.NotAfter)
	default:
		return false
	}
	return true
}
