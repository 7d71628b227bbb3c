// Package plain asks the service at BASE_URL with Go's standard library alone: a POST, and a reader
// of server-sent events of a few lines.
package plain

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
)

var url = os.Getenv("BASE_URL")

type chunk struct {
	Choices []struct {
		Delta struct {
			Content string `json:"content"`
		} `json:"delta"`
		Message struct {
			Content string `json:"content"`
		} `json:"message"`
		FinishReason *string `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		CompletionTokens int `json:"completion_tokens"`
		TotalTokens      int `json:"total_tokens"`
	} `json:"usage"`
}

type failure struct {
	Error struct {
		Message string `json:"message"`
		Code    string `json:"code"`
		Param   string `json:"param"`
	} `json:"error"`
}

func ask(ctx context.Context, t *testing.T, path, body string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, "POST", url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func decode(t *testing.T, answer *http.Response, status int, into interface{}) {
	t.Helper()
	defer answer.Body.Close()
	if answer.StatusCode != status {
		text, _ := io.ReadAll(answer.Body)
		t.Fatalf("status %d, not %d: %s", answer.StatusCode, status, text)
	}
	if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}

// events calls each with the data of every event, until the stream ends or each says stop.
func events(body io.Reader, each func(data string) (more bool)) error {
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		data := strings.TrimPrefix(lines.Text(), "data: ")
		if data != lines.Text() && !each(data) {
			return nil
		}
	}
	return lines.Err()
}

func chat(fields string) string {
	return fmt.Sprintf(`{"model":"tiny","messages":[{"role":"system","content":"You tell stories."},
		{"role":"user","content":"Hello!"}],"temperature":0,%s}`, fields)
}

func TestChatsWholeAndStreamed(t *testing.T) {
	var whole chunk
	ctx := context.Background()
	decode(t, ask(ctx, t, "/v1/chat/completions", chat(`"max_tokens":12`)), 200, &whole)
	text := whole.Choices[0].Message.Content
	if text == "" || whole.Usage.CompletionTokens > 12 {
		t.Fatalf("%+v", whole)
	}
	answer := ask(ctx, t, "/v1/chat/completions",
		chat(`"max_tokens":12,"stream":true,"stream_options":{"include_usage":true}`))
	defer answer.Body.Close()
	if kind := answer.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
		t.Fatal(kind)
	}
	streamed, reason, total, done := "", "", 0, false
	err := events(answer.Body, func(data string) bool {
		if data == "[DONE]" {
			done = true
			return true
		}
		var part chunk
		if err := json.Unmarshal([]byte(data), &part); err != nil {
			t.Fatalf("%v: %s", err, data)
		}
		for _, choice := range part.Choices {
			streamed += choice.Delta.Content
			if choice.FinishReason != nil {
				reason = *choice.FinishReason
			}
		}
		if part.Usage != nil {
			total = part.Usage.TotalTokens
		}
		return true
	})
	if err != nil || !done || streamed != text || total != whole.Usage.TotalTokens ||
		reason != *whole.Choices[0].FinishReason {
		t.Fatal(err, done, reason, total, streamed)
	}
}

func TestErrorsSayWhatWasWrong(t *testing.T) {
	var said failure
	ctx := context.Background()
	decode(t, ask(ctx, t, "/v1/chat/completions", chat(`"top_p":7`)), 400, &said)
	if said.Error.Param != "top_p" || said.Error.Message == "" {
		t.Fatalf("%+v", said)
	}
	decode(t, ask(ctx, t, "/v1/completions", `{"model":"other","prompt":"a"}`), 404, &said)
	if said.Error.Code != "model_not_found" {
		t.Fatalf("%+v", said)
	}
}

func TestACancelledContextEndsTheStream(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	answer := ask(ctx, t, "/v1/completions",
		`{"model":"tiny","prompt":"Once","max_tokens":400,"ignore_eos":true,"stream":true}`)
	defer answer.Body.Close()
	err := events(answer.Body, func(string) bool {
		cancel() // after the first event
		return true
	})
	if err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
	var after chunk
	decode(t, ask(context.Background(), t, "/v1/completions",
		`{"model":"tiny","prompt":"Once","max_tokens":1}`), 200, &after)
}
