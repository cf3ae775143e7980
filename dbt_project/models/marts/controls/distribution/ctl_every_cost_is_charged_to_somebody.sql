with

{{ told_bases() }},

-- One basis is enough to act on: amortized, or what the invoice says.
payers as (

    select
        billing_month,
        payer_account_id,
        case
            when max(case when cost_basis = 'amortized' then 1 else 0 end) = 1
                then 'amortized'
            else 'unblended'
        end as cost_basis
    from bases
    group by billing_month, payer_account_id

),

nobodys as (

    select
        billing_month,
        bill_payer_account_id as payer_account_id,
        reason || ' of ' || coalesce(origin_detail, origin) as what,
        {% for basis in bases() -%}
        sum({{ basis }}_usd) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from {{ ref('fct_charges') }}
    where charge_type = 'unassigned'
    group by
        billing_month,
        bill_payer_account_id,
        reason || ' of ' || coalesce(origin_detail, origin)

),

compared as (

    select
        bases.billing_month,
        bases.payer_account_id,
        bases.cost_basis,
        nobodys.what,
        case bases.cost_basis
            when 'amortized' then nobodys.amortized_usd
            else nobodys.unblended_usd
        end as unassigned_usd
    from payers as bases
    left join nobodys
        on
            bases.billing_month = nobodys.billing_month
            and bases.payer_account_id = nobodys.payer_account_id

),

final as (

    select
        billing_month,
        payer_account_id,
        cost_basis,
        0 as expected_usd,
        coalesce(sum(unassigned_usd), 0) as actual_usd,
        coalesce(sum(unassigned_usd), 0) as residual_usd,
        count(*) filter (where unassigned_usd <> 0) = 0 as is_passed,
        coalesce({{ list_text('what', 'unassigned_usd <> 0') }}, 'nothing is unassigned')
            as evidence
    from compared
    group by billing_month, payer_account_id, cost_basis

)

select * from final
