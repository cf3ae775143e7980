with

daily_costs as (

    select * from {{ ref('fct_daily_costs') }}

),

unallocated as (

    select * from {{ ref('fct_unallocated') }}

),

remainder as (

    select * from {{ ref('int_bill_remainder__grouped') }}

),

-- One column a basis and part of the law: zero where a source has none of it, null where
-- the payer's basis is unknown.
parts as (

    select
        billing_month,
        payer_account_id,
        usage_account_id,
        region_code,
        {% for basis in bases() -%}
        {{ basis }}_split_usd,
        {{ basis }}_unused_usd,
        {{ zero_if_known(basis ~ '_split_usd') }}::decimal(38, 10)
            as {{ basis }}_unallocated_usd,
        {{ zero_if_known(basis ~ '_split_usd') }}::decimal(38, 10)
            as {{ basis }}_remainder_usd{{ ',' if not loop.last }}
        {% endfor %}
    from daily_costs
    union all
    select
        billing_month,
        bill_payer_account_id,
        line_item_usage_account_id,
        region_code,
        {% for basis in bases() -%}
        {{ zero_if_known(basis ~ '_usd') }} as {{ basis }}_split_usd,
        {{ zero_if_known(basis ~ '_usd') }} as {{ basis }}_unused_usd,
        {{ basis }}_usd as {{ basis }}_unallocated_usd,
        {{ zero_if_known(basis ~ '_usd') }} as {{ basis }}_remainder_usd
        {{- ',' if not loop.last }}
        {% endfor %}
    from unallocated
    union all
    select
        billing_month,
        payer_account_id,
        usage_account_id,
        region_code,
        {% for basis in bases() -%}
        {{ zero_if_known(basis ~ '_usd') }} as {{ basis }}_split_usd,
        {{ zero_if_known(basis ~ '_usd') }} as {{ basis }}_unused_usd,
        {{ zero_if_known(basis ~ '_usd') }} as {{ basis }}_unallocated_usd,
        {{ basis }}_usd as {{ basis }}_remainder_usd{{ ',' if not loop.last }}
        {% endfor %}
    from remainder

),

final as (

    select
        billing_month,
        payer_account_id,
        usage_account_id,
        region_code,
        {% for basis in bases() -%}
        sum({{ basis }}_split_usd)::decimal(38, 10) as {{ basis }}_split_usd,
        sum({{ basis }}_unused_usd)::decimal(38, 10) as {{ basis }}_unused_usd,
        sum({{ basis }}_unallocated_usd)::decimal(38, 10) as {{ basis }}_unallocated_usd,
        sum({{ basis }}_remainder_usd)::decimal(38, 10) as {{ basis }}_remainder_usd,
        (
            sum({{ basis }}_split_usd) + sum({{ basis }}_unused_usd)
            + sum({{ basis }}_unallocated_usd) + sum({{ basis }}_remainder_usd)
        )::decimal(38, 10) as {{ basis }}_total_usd{{ ',' if not loop.last }}
        {% endfor %}
    from parts
    group by billing_month, payer_account_id, usage_account_id, region_code

)

select * from final
