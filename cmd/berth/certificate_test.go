package main

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
)

// connect makes a TLS connection to a service.
func connect(t *testing.T, p *process, config *tls.Config) (*tls.Conn, error) {
	t.Helper()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", p.addr, config)
	if err == nil {
		conn.SetDeadline(time.Now().Add(time.Minute))
		t.Cleanup(func() { conn.Close() })
	}
	return conn, err
}

// ask gets a path over a connection by HTTP/1.1.
func ask(t *testing.T, conn net.Conn, path string) (status int, body string) {
	t.Helper()
	io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	reply, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply.StatusCode, string(text)
}

func TestTLSIsServedAsVersions12And13(t *testing.T) {
	p := serve(t, "--tls-self-signed")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		conn, err := connect(t, p, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
		if err != nil {
			t.Errorf("%s: %v", tls.VersionName(version), err)
			continue
		}
		if status, body := ask(t, conn, "/readyz"); status != http.StatusOK || body != "ready\n" {
			t.Errorf("%s: %d %s", tls.VersionName(version), status, body)
		}
	}
	_, err := connect(t, p, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if err == nil || !strings.Contains(err.Error(), "protocol version not supported") {
		t.Errorf("TLS 1.1: %v, want it refused", err)
	}
}

func TestClientsThatDoNotAskForHTTP2GetHTTP1(t *testing.T) {
	p := serve(t, "--tls-self-signed")
	for want, offered := range map[string][]string{"": nil, "http/1.1": {"http/1.1"}, "h2": {"h2", "http/1.1"}} {
		conn, err := connect(t, p, &tls.Config{InsecureSkipVerify: true, NextProtos: offered})
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.ConnectionState().NegotiatedProtocol; got != want {
			t.Errorf("who offers %q gets %q", offered, got)
		}
		if want == "h2" {
			continue
		}
		if status, _ := ask(t, conn, "/healthz"); status != http.StatusOK {
			t.Errorf("who offers %q is answered with %d", offered, status)
		}
	}
}

func TestPlainRequestOfATLSServiceIsToldSo(t *testing.T) {
	p := serve(t, "--tls-self-signed")
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if status, body := ask(t, conn, "/healthz"); status != http.StatusBadRequest || !strings.Contains(body, "HTTP request to an HTTPS server") {
		t.Errorf("it is answered with %d %s", status, body)
	}
}

func TestSelfSignedCertificateIsOfEveryNameAndInTheLog(t *testing.T) {
	p := serve(t, "--tls-self-signed", "--addr=127.0.0.2:0", "--public-url=https://games.example.com:8443/eu")
	conn, err := connect(t, p, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	shown := conn.ConnectionState().PeerCertificates[0]
	fingerprint := sha256.Sum256(shown.Raw)
	if logged := "sha256=" + hex.EncodeToString(fingerprint[:]); !strings.Contains(p.stderr.String(), logged) {
		t.Errorf("%s is not in the log:\n%s", logged, &p.stderr)
	}
	for _, host := range []string{"localhost", "127.0.0.1", "::1", "127.0.0.2", "games.example.com"} {
		if _, err := connect(t, p, &tls.Config{RootCAs: trusting(shown), ServerName: host}); err != nil {
			t.Errorf("who trusts it and asks for %s: %v", host, err)
		}
	}
	if _, err := connect(t, p, &tls.Config{RootCAs: trusting(shown), ServerName: "example.com"}); err == nil {
		t.Error("it is of other names, too")
	}
	if lasts := time.Until(shown.NotAfter); lasts < 364*24*time.Hour || lasts > 366*24*time.Hour {
		t.Errorf("it lasts %v", lasts)
	}
}

func TestSelfSignedCertificateLeavesOutWhatIsNoHost(t *testing.T) {
	made, err := selfSigned("localhost", "", "0.0.0.0", "::", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	if names, addresses := made.Leaf.DNSNames, made.Leaf.IPAddresses; len(names) != 1 || len(addresses) != 0 {
		t.Errorf("it is of %q and %v", names, addresses)
	}
}

func trusting(certificate *x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	return pool
}

// writeCertificate makes a certificate of localhost, and writes it and its key.
func writeCertificate(t *testing.T, certFile, keyFile string) *x509.Certificate {
	t.Helper()
	made, err := selfSigned("localhost")
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, certFile, "CERTIFICATE", made.Leaf.Raw)
	writePEM(t, keyFile, "PRIVATE KEY", key)
	return made.Leaf
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReplacedCertificateIsServedWithoutARestart(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	shows := func(p *process, want *x509.Certificate) {
		t.Helper()
		conn, err := connect(t, p, &tls.Config{RootCAs: trusting(want), ServerName: "localhost"})
		if err != nil {
			t.Fatalf("%v; the service wrote\n%s", err, &p.stderr)
		}
		if status, _ := ask(t, conn, "/healthz"); status != http.StatusOK {
			t.Errorf("the status is %d", status)
		}
	}
	warnings := func(p *process) int { return strings.Count(p.stderr.String(), "the new certificate cannot be used") }

	first := writeCertificate(t, certFile, keyFile)
	p := serve(t, "--tls-cert", certFile, "--tls-key", keyFile)
	shows(p, first)

	second := writeCertificate(t, certFile, keyFile)
	shows(p, second)
	shows(p, second)
	if warnings(p) != 0 {
		t.Errorf("it warns:\n%s", &p.stderr)
	}

	// What is no certificate, or has no key, leaves the last one in use, and is warned of once.
	if err := os.WriteFile(certFile, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	shows(p, second)
	shows(p, second)
	if warnings(p) != 1 {
		t.Errorf("a broken file makes %d warnings:\n%s", warnings(p), &p.stderr)
	}
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	shows(p, second)
	shows(p, second)
	if warnings(p) != 2 {
		t.Errorf("a missing file makes %d warnings:\n%s", warnings(p)-1, &p.stderr)
	}

	// What could not be read, and then can, is used, though the files look as before.
	late := writeCertificate(t, certFile, filepath.Join(dir, "late.key"))
	key, err := os.ReadFile(filepath.Join(dir, "late.key"))
	if err != nil {
		t.Fatal(err)
	}
	stamp := time.Now()
	for _, c := range []struct {
		key  string
		want *x509.Certificate
	}{{strings.Repeat("?", len(key)), second}, {string(key), late}} {
		if err := os.WriteFile(keyFile, []byte(c.key), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(keyFile, stamp, stamp); err != nil {
			t.Fatal(err)
		}
		shows(p, c.want)
	}

	// As certbot and cert-manager do: a link that leads elsewhere.
	third := writeCertificate(t, filepath.Join(dir, "new.crt"), filepath.Join(dir, "new.key"))
	for file, target := range map[string]string{certFile: "new.crt", keyFile: "new.key"} {
		if err := os.Symlink(target, filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "link"), file); err != nil {
			t.Fatal(err)
		}
	}
	shows(p, third)
}

func TestExpiryOfACertificateIsWarnedOf(t *testing.T) {
	for left, warns := range map[time.Duration]string{-time.Hour: "has expired", 24 * time.Hour: "expires soon", 60 * 24 * time.Hour: ""} {
		dir := t.TempDir()
		var log strings.Builder
		f := &certificateFiles{cert: filepath.Join(dir, "crt"), key: filepath.Join(dir, "key"), log: slog.New(slog.NewTextHandler(&log, nil))}
		writeCertificate(t, f.cert, f.key)
		if err := f.read(); err != nil {
			t.Fatal(err)
		}
		f.current.Leaf.NotAfter = time.Now().Add(left) // as if it had been served for that long
		for range 3 {
			if _, err := f.certificate(nil); err != nil {
				t.Fatal(err)
			}
		}
		want := min(1, len(warns)) // once, for a day
		if warned := strings.Count(log.String(), "level=WARN"); warned != want || !strings.Contains(log.String(), warns) {
			t.Errorf("%v before its expiry it logs %s", left, &log)
		}
	}
}

func TestGoSDKIsToldOverTLSWhereGameServersConnect(t *testing.T) {
	p := serve(t, "--tls-self-signed")
	conn, err := connect(t, p, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	roots := trusting(conn.ConnectionState().PeerCertificates[0])
	client := gamelift.New(sdk(p.url()).Options(), func(o *gamelift.Options) {
		o.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(transport *http.Transport) {
			transport.TLSClientConfig = &tls.Config{RootCAs: roots}
		})
	})
	game := newGame(t, client, 1)
	described, err := client.DescribeGameSessions(t.Context(), &gamelift.DescribeGameSessionsInput{GameSessionId: aws.String(game)})
	if err != nil {
		t.Fatal(err)
	}
	computes, err := client.ListCompute(t.Context(), &gamelift.ListComputeInput{FleetId: described.GameSessions[0].FleetId})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := aws.ToString(computes.ComputeList[0].GameLiftServiceSdkEndpoint), "wss://"+p.addr+"/server-sdk"; got != want {
		t.Errorf("they connect to %q, want %q", got, want)
	}
}
