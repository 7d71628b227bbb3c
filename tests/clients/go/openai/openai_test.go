// Package openai has OpenAI's own module for Go, unmodified, ask the service at BASE_URL.
package openai

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
)

var client = openai.NewClient(option.WithBaseURL(os.Getenv("BASE_URL")+"/v1"),
	option.WithAPIKey("none"), option.WithMaxRetries(0))

func chat() openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model: "tiny",
		Messages: []openai.ChatCompletionMessageParamUnion{
			openai.SystemMessage("You tell stories."), openai.UserMessage("Hello!")},
		Temperature: openai.Float(0),
		MaxTokens:   openai.Int(12),
	}
}

func TestChatsWholeAndStreamed(t *testing.T) {
	ctx := context.Background()
	whole, err := client.Chat.Completions.New(ctx, chat())
	if err != nil {
		t.Fatal(err)
	}
	text := whole.Choices[0].Message.Content
	if text == "" || whole.Usage.CompletionTokens > 12 {
		t.Fatal(whole.RawJSON())
	}
	asked := chat()
	asked.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := client.Chat.Completions.NewStreaming(ctx, asked)
	sum := openai.ChatCompletionAccumulator{}
	for stream.Next() {
		if !sum.AddChunk(stream.Current()) {
			t.Fatal(stream.Current().RawJSON())
		}
	}
	if stream.Err() != nil || sum.Choices[0].Message.Content != text ||
		sum.Usage.TotalTokens != whole.Usage.TotalTokens ||
		sum.Choices[0].FinishReason != whole.Choices[0].FinishReason {
		t.Fatal(stream.Err(), sum.Choices, sum.Usage)
	}
}

func TestCompletionsAndModels(t *testing.T) {
	ctx := context.Background()
	answer, err := client.Completions.New(ctx, openai.CompletionNewParams{
		Model:     "tiny",
		Prompt:    openai.CompletionNewParamsPromptUnion{OfString: openai.String("Once upon a time")},
		MaxTokens: openai.Int(5),
		N:         openai.Int(2),
		Logprobs:  openai.Int(1),
	})
	if err != nil || len(answer.Choices) != 2 ||
		len(answer.Choices[1].Logprobs.TokenLogprobs) != len(answer.Choices[1].Logprobs.Tokens) {
		t.Fatal(err, answer)
	}
	found := false
	pages := client.Models.ListAutoPaging(ctx)
	for pages.Next() {
		found = found || pages.Current().ID == "tiny"
	}
	if pages.Err() != nil || !found {
		t.Fatal(pages.Err())
	}
}

func TestResponsesStreamed(t *testing.T) {
	stream := client.Responses.NewStreaming(context.Background(), responses.ResponseNewParams{
		Model:           "tiny",
		Input:           responses.ResponseNewParamsInputUnion{OfString: openai.String("Hello!")},
		MaxOutputTokens: openai.Int(16),
		Temperature:     openai.Float(0),
	})
	text, last := "", ""
	for stream.Next() {
		event := stream.Current()
		last = event.Type
		if event.Type == "response.output_text.delta" {
			text += event.Delta
		}
	}
	if stream.Err() != nil || text == "" ||
		(last != "response.completed" && last != "response.incomplete") {
		t.Fatal(stream.Err(), last, text)
	}
}

func TestErrorsAreItsOwn(t *testing.T) {
	asked := chat()
	asked.TopP = openai.Float(7)
	var failure *openai.Error
	_, err := client.Chat.Completions.New(context.Background(), asked)
	if !errors.As(err, &failure) || failure.StatusCode != 400 || failure.Param != "top_p" {
		t.Fatal(err)
	}
	asked = chat()
	asked.Model = "other"
	_, err = client.Chat.Completions.New(context.Background(), asked)
	if !errors.As(err, &failure) || failure.StatusCode != 404 || failure.Code != "model_not_found" {
		t.Fatal(err)
	}
}

func TestACancelledContextEndsTheStream(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	asked := chat()
	asked.MaxTokens = openai.Int(300)
	stream := client.Chat.Completions.NewStreaming(ctx, asked,
		option.WithJSONSet("ignore_eos", true))
	if !stream.Next() {
		t.Fatal(stream.Err())
	}
	cancel()
	for stream.Next() {
	}
	if stream.Err() != nil && !errors.Is(stream.Err(), context.Canceled) {
		t.Fatal(stream.Err())
	}
	if _, err := client.Chat.Completions.New(context.Background(), chat()); err != nil {
		t.Fatal(err)
	}
}
