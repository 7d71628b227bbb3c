"""Grammars, expressions and schemas against other judges of the same texts, token by token: what
belongs to the language passes, what does not is stopped, at the mask and at the matcher alike."""
import json
import re
import subprocess

import grammar_corpus
import pytest
from service import BINARY

CHECK = BINARY.parent / "schema_check"
N = 110

# as llama.cpp's users write them: grammar, texts of it, texts that are not
DIALECT = {
    "json": (r'''
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20} # few, so that no model writes blanks for ever
''', ['{}', '{"a": [1, -2.5, {"b": null}], "é": "\\u00e9\\n"}\n  ', '{"a":true}', '{"a": 1e5 }'],
             ['[]', '{"a" "b"}', '{"a": 01}', '{"a": "\n"}', '{"a": 1,}', '{"a": tru}', '{']),
    "arithmetic": (r'''root  ::= (expr "=" ws term "\n")+
expr  ::= term ([-+*/] term)*
term  ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]+ ws
ws    ::= [ \t\n]*
''', ["1+2=3\n", "x *(y0 -1) = z\n1=1\n", "a\t=\n b\n"], ["1+2=3", "1+=3\n", "(1=2\n", "1=A\n"]),
    "chess": (r'''# moves of both, "1. e4 e5"
root    ::= "1. " move " " move "\n" ([1-9] [0-9]? ". " move " " move "\n")+
move    ::= (pawn | nonpawn | castle) [+#]?
nonpawn ::= [NBKQR] [a-h]? [1-8]? "x"? [a-h] [1-8]
pawn    ::= ([a-h] "x")? [a-h] [1-8] ("=" [NBKQR])?
castle  ::= "O-O" "-O"?
''', ["1. e4 e5\n2. Nf3 Nc6\n", "1. d4 d5\n2. O-O O-O-O+\n12. exd5 Qxd5#\n3. b8=Q R1a2\n"],
              ["1. e4 e5\n", "1. e4\n2. d4 d5\n", "1. e9 e5\n2. a3 a6\n", "2. e4 e5\n2. a3 a6\n"]),
    "list": (r'''root ::= item+

# Excludes various line break characters
item ::= "- " [^\r\n\x0b\x0c\x85\u2028\u2029]+ "\n"
''', ["- one\n- two é 日本\n", "- - \n"], ["- one", "-one\n", "- \n", "- a\rb\n", "- a\u2028b\n"]),
    "japanese": (r'''root     ::= jp-char+ ([ \t\n] jp-char+)*
jp-char  ::= hiragana | katakana | punctuation | cjk
hiragana ::= [ぁ-ゟ]
katakana ::= [ァ-ヿ]
punctuation ::= [、-〾]
cjk ::= [一-鿿]
''', ["日本語です。", "カタカナ ひらがな\n漢字", "、"], ["abc", "日本語 ", " 日本", "日本a", ""]),
    "c": (r'''root ::= (declaration)*
declaration ::= dataType identifier "(" parameter? ")" "{" statement* "}"
dataType  ::= "int" ws | "float" ws | "char" ws
identifier ::= [a-zA-Z_] [a-zA-Z_0-9]*
parameter ::= dataType identifier
statement ::=
    ( dataType identifier ws "=" ws expression ";" ) |
    ( identifier ws "=" ws expression ";" ) |
    ( "return" ws expression ";" ) |
    ( "while" "(" condition ")" "{" statement* "}" ) |
    ( "if" "(" condition ")" "{" statement* "}" ("else" "{" statement* "}")? )
condition ::= expression relation expression
relation ::= ("<=" | "<" | "==" | "!=" | ">=" | ">")
expression ::= sum (("+" | "-") sum)*
sum ::= factor (("*" | "/") factor)*
factor ::= identifier | number | "-" factor | "(" expression ")"
number ::= [0-9]+
ws ::= ([ \t\n]+)
''', ["", "int f(){}", "int main(char x){int a = 1+2*(b-3);while(a<=-b){a = a/2;}return a;}",
      "float g(){if(a==1){return 1;}else{x = y;}}"],
          ["int f(", "int f(){return 1}", "int f(){a=1;}", "double f(){}", "int 1f(){}"]),
    "json_arr": (r'''root ::= arr
arr ::=
  "[\n" ws (
            value
    (",\n" ws value)*
  )? "]"
value ::= string | number | arr | "null" ws
string ::= "\"" [^"\n]* "\"" ws
number ::= "-"? [0-9]+ ws
ws ::= ([ \t\n] ws)?
''', ['[\n]', '[\n 1,\n  "a b",\n [\n]]', '[\nnull\t \n]'], ['[]', '[\n1, 2]', '[\n1,\n]', '{}']),
    "english": (r'''root ::= en-char+ ([ \t\n] en-char+)*
en-char ::= letter | digit | punctuation
letter ::= [a-zA-Z]
digit ::= [0-9]
punctuation ::= [!"#$%&'()*+,-./:;<=>?@[\\\]^_`{|}~]
''', ["Hello, world!", "a\tb\nC-3", "[x] \\ \"y\""], ["Hello  world", "é", " a", "a ", ""]),
}  # fmt: skip


@pytest.fixture(scope="module")
def ask():
    if not CHECK.exists():
        pytest.skip(f"{CHECK} is not built")
    child = subprocess.Popen([CHECK], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def one(texts, **shape):
        line = json.dumps(dict(shape, texts=list(texts)))
        child.stdin.write(line.encode() + b"\n")
        child.stdin.flush()
        answer = json.loads(child.stdout.readline())
        assert "error" not in answer, (shape, answer)
        return answer["accepts"]

    yield one
    child.stdin.close()
    assert child.wait() == 0


@pytest.mark.parametrize("name", DIALECT)
def test_grammars_of_the_dialect_mean_what_they_say(ask, name):
    grammar, right, wrong = DIALECT[name]
    passed = ask(right + wrong, gbnf=grammar)
    assert [t for t, ok in zip(right, passed) if not ok] == []
    assert [t for t, ok in zip(wrong, passed[len(right):]) if ok] == []


def test_expressions_match_what_re_matches(ask):
    n_right = n_wrong = 0
    for made, texts in grammar_corpus.expressions(N):
        regex = made.regex()
        right = [re.fullmatch(regex, text) is not None for text in texts]
        for text, ok, should in zip(texts, ask(texts, regex=regex), right):
            assert ok == should == (len(text) in made.ends(text, 0, {})), (regex, text)
        n_right, n_wrong = n_right + sum(right), n_wrong + len(right) - sum(right)
    assert n_right > 4 * N and n_wrong > 4 * N


def test_grammars_match_what_a_recognizer_finds(ask):
    n_right = n_wrong = 0
    for grammar, matches, texts in grammar_corpus.grammars(N):
        right = [matches(text) for text in texts]
        for text, ok, should in zip(texts, ask(texts, gbnf=grammar), right):
            assert ok == should, (grammar, text)
        n_right, n_wrong = n_right + sum(right), n_wrong + len(right) - sum(right)
    assert n_right > 4 * N and n_wrong > 4 * N


def test_schemas_accept_what_a_validator_does(ask):
    jsonschema = pytest.importorskip("jsonschema", reason="python3-jsonschema is not installed")
    n_right = n_wrong = 0
    for schema, values in grammar_corpus.schemas(N):
        validator = jsonschema.Draft202012Validator(schema)
        right = [validator.is_valid(value) for value in values]
        for form in ({}, {"separators": (",", ":"), "ensure_ascii": False}):
            texts = [json.dumps(value, **form) for value in values]
            for text, ok, should in zip(texts, ask(texts, schema=schema), right):
                assert ok == should, (schema, text)
        n_right, n_wrong = n_right + sum(right), n_wrong + len(right) - sum(right)
    assert n_right > 3 * N and n_wrong > 2 * N
