{# How fct_close_controls tells its evidence. #}

{% macro money_text(amount) -%}
    ({{ amount }})::decimal(38, 10)::string
{%- endmacro %}

{% macro hours_text(hours) -%}
    ({{ hours }})::decimal(28, 2)::string
{%- endmacro %}

{# Those texts of a column where a condition holds, in order; null where it never does. #}
{% macro list_text(text, condition) %}{{ return(adapter.dispatch('list_text')(text, condition)) }}{% endmacro %}
{% macro default__list_text(text, condition) -%}
    string_agg({{ text }}, ', ' order by {{ text }}) filter (where {{ condition }})
{%- endmacro %}
{% macro spark__list_text(text, condition) -%}
    nullif(
        array_join(sort_array(collect_list({{ text }}) filter (where {{ condition }})), ', '),
        ''
    )
{%- endmacro %}

{# Node-hours of a month whose shares are computed a second time. #}
{% macro most_proved_node_hours() %}{{ return(2000) }}{% endmacro %}

{# Node-hours by the version that the month is closed with; the others are empty here. #}
{% macro weighed_node_hours() -%}
    {% for version in methods() -%}
    select * from {{ ref('int_node_hours__weighed', v=version) }}
    where {{ version }} = {{ method_in_use() }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
{%- endmacro %}
