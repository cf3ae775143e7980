{# What several controls say in the same way. #}

{# What the YAML of a control says of its severity. dbt knows that when it compiles, and not
   yet when it parses. #}
{% macro severity_of(control) -%}
    {%- if execute -%}
    {{ graph.nodes['model.' ~ project_name ~ '.ctl_' ~ control].config.meta.severity }}
    {%- endif -%}
{%- endmacro %}

{# CTE `payers`: whom a month bills. #}
{% macro billed_payers() -%}
payers as (

    select distinct
        billing_month,
        payer_account_id
    from {{ ref('int_bases__known') }}

)
{%- endmacro %}

{# CTE `months`: those that have a bill. #}
{% macro billed_months() -%}
months as (

    select distinct billing_month from {{ ref('int_bases__known') }}

)
{%- endmacro %}

{# CTE `bases`: what the exports of each payer tell. A basis that they do not tell obeys no
   law; every_basis_is_in_the_export names it. #}
{% macro told_bases() -%}
bases as (

    select
        billing_month,
        payer_account_id,
        cost_basis
    from {{ ref('int_bases__known') }}
    where is_known

)
{%- endmacro %}

{# The amount of a row's cost basis, of a relation with a column for each. #}
{% macro of_basis(relation) -%}
    case bases.cost_basis
        {% for basis in bases() -%}
        when '{{ basis }}' then {{ relation }}.{{ basis }}_usd
        {% endfor -%}
    end
{%- endmacro %}

{# Amounts and answer of a control that passes where nothing is found.

   counted: of what was found; null where there is nothing.
   amount: what it costs; null where the exports do not tell. #}
{% macro expects_none(counted, amount) -%}
    0 as expected_usd,
    case when {{ counted }} is null then 0 else {{ amount }} end as actual_usd,
    case when {{ counted }} is null then 0 else {{ amount }} end as residual_usd,
    {{ counted }} is null as is_passed,
{%- endmacro %}

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
