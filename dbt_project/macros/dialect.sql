{# What differs between DuckDB and Spark. Models call these and are otherwise plain SQL. #}

{% macro tag(map, key) %}{{ return(adapter.dispatch('tag')(map, key)) }}{% endmacro %}
{% macro default__tag(map, key) -%}
    {{ map }}['{{ key }}']
{%- endmacro %}

{% macro has_tag_like(map, pattern) %}{{ return(adapter.dispatch('has_tag_like')(map, pattern)) }}{% endmacro %}
{% macro default__has_tag_like(map, pattern) -%}
    len(list_filter(map_keys({{ map }}), lambda name: name like '{{ pattern }}')) > 0
{%- endmacro %}
{% macro spark__has_tag_like(map, pattern) -%}
    exists(map_keys({{ map }}), name -> name like '{{ pattern }}')
{%- endmacro %}

{% macro pair(left, right) %}{{ return(adapter.dispatch('pair')(left, right)) }}{% endmacro %}
{% macro default__pair(left, right) -%}
    row({{ left }}, {{ right }})
{%- endmacro %}
{% macro spark__pair(left, right) -%}
    struct({{ left }}, {{ right }})
{%- endmacro %}

{% macro regexp_like(text, pattern) %}{{ return(adapter.dispatch('regexp_like')(text, pattern)) }}{% endmacro %}
{% macro default__regexp_like(text, pattern) -%}
    regexp_matches({{ text }}, '{{ pattern }}')
{%- endmacro %}
{% macro spark__regexp_like(text, pattern) -%}
    {{ text }} rlike '{{ pattern }}'
{%- endmacro %}

{% macro regexp_extract(text, pattern, group) -%}
    nullif(regexp_extract({{ text }}, '{{ pattern }}', {{ group }}), '')
{%- endmacro %}

{# A decimal with so many digits as a whole number, in an integer of 128 bits (DuckDB) or
   a decimal of 38 digits (Spark). #}
{% macro whole(amount, digits) %}{{ return(adapter.dispatch('whole')(amount, digits)) }}{% endmacro %}
{% macro default__whole(amount, digits) -%}
    ({{ amount }}::decimal(18, {{ digits }}) * {{ 10 ** digits }})::hugeint
{%- endmacro %}
{% macro spark__whole(amount, digits) -%}
    (({{ amount }})::decimal(18, {{ digits }}) * {{ 10 ** digits }}BD)::decimal(38, 0)
{%- endmacro %}

{# Division of whole numbers that stays whole; DuckDB's / is a double. #}
{% macro integer_divide(part, whole) %}{{ return(adapter.dispatch('integer_divide')(part, whole)) }}{% endmacro %}
{% macro default__integer_divide(part, whole) -%}
    ({{ part }}) // ({{ whole }})
{%- endmacro %}
{% macro spark__integer_divide(part, whole) -%}
    ({{ part }}) div ({{ whole }})
{%- endmacro %}

{# Whole units of 1e-10 USD as money. A product, since a quotient would be a double. #}
{% macro usd(units) -%}
    (({{ units }})::bigint * 0.0000000001::decimal(11, 10))::decimal(18, 10)
{%- endmacro %}

{# The first number in a text like "1,952 GiB"; null where there is none. #}
{% macro number_in(text) %}{{ return(adapter.dispatch('number_in')(text)) }}{% endmacro %}
{% macro default__number_in(text) -%}
    try_cast(replace(regexp_extract({{ text }}, '[0-9][0-9.,]*'), ',', '') as decimal(18, 4))
{%- endmacro %}
{% macro spark__number_in(text) -%}
    try_cast(replace(regexp_extract({{ text }}, '[0-9][0-9.,]*', 0), ',', '') as decimal(18, 4))
{%- endmacro %}

{# A timestamp in UTC as AWS prints it: 2026-10-01T00:00:00Z. #}
{% macro utc_text(moment) %}{{ return(adapter.dispatch('utc_text')(moment)) }}{% endmacro %}
{% macro default__utc_text(moment) -%}
    strftime({{ moment }}, '%Y-%m-%dT%H:%M:%SZ')
{%- endmacro %}
{% macro spark__utc_text(moment) -%}
    date_format({{ moment }}, "yyyy-MM-dd'T'HH:mm:ss'Z'")
{%- endmacro %}

{# A digest of 64 bits over several columns. #}
{% macro digest_of(columns) %}{{ return(adapter.dispatch('digest_of')(columns)) }}{% endmacro %}
{% macro default__digest_of(columns) -%}
    hash({{ columns | join(', ') }})
{%- endmacro %}
{% macro spark__digest_of(columns) -%}
    xxhash64({{ columns | join(', ') }})
{%- endmacro %}

{# Equality for which null is a value. #}
{% macro same(left, right) %}{{ return(adapter.dispatch('same')(left, right)) }}{% endmacro %}
{% macro default__same(left, right) -%}
    {{ left }} is not distinct from {{ right }}
{%- endmacro %}
{% macro spark__same(left, right) -%}
    {{ left }} <=> {{ right }}
{%- endmacro %}

{# Whether a text is like a pattern; a backslash takes a wildcard its meaning. #}
{% macro is_like(text, pattern) %}{{ return(adapter.dispatch('is_like')(text, pattern)) }}{% endmacro %}
{% macro default__is_like(text, pattern) -%}
    {{ text }} like {{ pattern }} escape '\'
{%- endmacro %}
{% macro spark__is_like(text, pattern) -%}
    {{ text }} like {{ pattern }}
{%- endmacro %}

{# The same, or there is no pattern. #}
{% macro like_if_given(text, pattern) -%}
    ({{ pattern }} is null or {{ is_like(text, pattern) }})
{%- endmacro %}

{# Whole seconds from one timestamp to another. #}
{% macro seconds_between(first, last) %}{{ return(adapter.dispatch('seconds_between')(first, last)) }}{% endmacro %}
{% macro default__seconds_between(first, last) -%}
    date_diff('second', {{ first }}, {{ last }})
{%- endmacro %}
{% macro spark__seconds_between(first, last) -%}
    timestampdiff(second, {{ first }}, {{ last }})
{%- endmacro %}

{# Every hour from one to another, both included: a row each. #}
{% macro each_hour(first, last) %}{{ return(adapter.dispatch('each_hour')(first, last)) }}{% endmacro %}
{% macro default__each_hour(first, last) -%}
    unnest(generate_series({{ first }}, {{ last }}, interval 1 hour))
{%- endmacro %}
{% macro spark__each_hour(first, last) -%}
    explode(sequence({{ first }}, {{ last }}, interval 1 hour))
{%- endmacro %}

{# A whole number that may be multiplied with units of money without an overflow. #}
{% macro wide(number) %}{{ return(adapter.dispatch('wide')(number)) }}{% endmacro %}
{% macro default__wide(number) -%}
    ({{ number }})::hugeint
{%- endmacro %}
{% macro spark__wide(number) -%}
    ({{ number }})::decimal(38, 0)
{%- endmacro %}

{# A map without entries. #}
{% macro no_tags() %}{{ return(adapter.dispatch('no_tags')()) }}{% endmacro %}
{% macro default__no_tags() -%}
    null::map(varchar, varchar)
{%- endmacro %}
{% macro spark__no_tags() -%}
    cast(null as map<string, string>)
{%- endmacro %}

{# Whole seconds as hours, in a decimal: a quotient would be a double. An hour's 3600 parts
   have 24 digits, so that what is rounded away is no hour's last digit. #}
{% macro hours_of(seconds) -%}
    (
        {{ seconds }}::decimal(10, 0) * 0.000277777777777777777778::decimal(24, 24)
    )::decimal(38, 18)
{%- endmacro %}

{# A decimal as the double next to it. A straight cast rounds twice where it has more digits
   than a double, and not alike in DuckDB and Spark; both read a text as it stands. #}
{% macro nearest_double(amount) -%}
    ({{ amount }})::string::double
{%- endmacro %}
