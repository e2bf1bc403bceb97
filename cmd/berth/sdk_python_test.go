package main

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/berthgg/berth/allocator/allocatortest"
)

// python returns a Python that has boto3.
func python(t *testing.T) string {
	t.Helper()
	for _, candidate := range []string{"/usr/bin/python3", "python3"} {
		if path, err := exec.LookPath(candidate); err == nil && exec.Command(path, "-c", "import boto3").Run() == nil {
			return path
		}
	}
	allocatortest.Missing(t, "no Python that has boto3: install the package python3-boto3 (Debian, Ubuntu), or boto3 for the python3 in the PATH")
	return ""
}

// output runs a program that has to succeed and returns what it wrote.
func output(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(environment(), env...)
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, text)
	}
	return string(text)
}

// awsEnvironment keeps AWS clients from whatever the machine has for them.
func awsEnvironment(t *testing.T) []string {
	nothing := t.TempDir() + "/none"
	return []string{
		"AWS_CONFIG_FILE=" + nothing, "AWS_SHARED_CREDENTIALS_FILE=" + nothing, "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=",
		"NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1", "PYTHONDONTWRITEBYTECODE=1",
	}
}

func TestBoto3LivesTheWholeLifeOfAGame(t *testing.T) {
	interpreter := python(t)
	eachDeployment(t, []deployment{embeddedDeployment, redisDeployment}, func(t *testing.T, instances []*process) {
		output(t, awsEnvironment(t), interpreter, "testdata/boto3_life.py", (&network{instances: instances}).connect(t))
	})
}

func TestBoto3RunsTheControlPlane(t *testing.T) {
	interpreter := python(t)
	eachDeployment(t, []deployment{embeddedDeployment, redisDeployment}, func(t *testing.T, instances []*process) {
		output(t, awsEnvironment(t), interpreter, "testdata/boto3_control.py", (&network{instances: instances}).connect(t))
	})
}

func TestBoto3LivesTheWholeLifeOfAGameThoughAReplyIsLost(t *testing.T) {
	interpreter := python(t)
	eachDeployment(t, []deployment{redisDeployment}, func(t *testing.T, instances []*process) {
		n := &network{instances: instances, lose: has("unlucky")}
		output(t, awsEnvironment(t), interpreter, "testdata/boto3_life.py", n.connect(t))
		if n.losses() != 1 {
			t.Errorf("%d replies were lost, want 1", n.losses())
		}
	})
}

func TestPythonExampleInTheReadmeWorks(t *testing.T) {
	interpreter := python(t)
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)```python\n(.*?)```").FindStringSubmatch(string(readme))
	if example == nil || !strings.Contains(example[1], "http://127.0.0.1:8080") {
		t.Fatal("the README has no example in Python, or with another endpoint")
	}
	script := strings.ReplaceAll(example[1], "http://127.0.0.1:8080", serve(t).url())
	wrote := output(t, awsEnvironment(t), interpreter, "-c", script)
	if want := regexp.MustCompile(`^alice psess-\S+ 192\.0\.2\.10 \d+\nbob psess-\S+ 192\.0\.2\.10 \d+\ncarol .*GameSessionFullException.*\n$`); !want.MatchString(wrote) {
		t.Errorf("it wrote\n%s", wrote)
	}
}
